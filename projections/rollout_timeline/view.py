"""What happened to each rollout, and why."""

from projections.feeds.events import EVENTS
from projections.projectors import TableProjector
from projections.rollout_timeline.operations import operations
from projections.rollout_timeline.projector import timeline_rows
from projections.rollout_timeline.rows import ROLLOUT_TIMELINE
from projections.view import View

VIEW = View(
    projectors=(TableProjector(feed=EVENTS, table=ROLLOUT_TIMELINE, rows=timeline_rows),),
    operations=operations,
)
