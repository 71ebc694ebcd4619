"""When endpoints were out of service."""

from projections.downtime.operations import operations
from projections.downtime.projector import downtime_rows
from projections.downtime.rows import DOWNTIME
from projections.feeds.events import EVENTS
from projections.projectors import TableProjector
from projections.view import View

VIEW = View(
    projectors=(TableProjector(feed=EVENTS, table=DOWNTIME, rows=downtime_rows),),
    operations=operations,
)
