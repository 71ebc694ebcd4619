"""What gates and charts count, by minute, hour and day, for longer than the rows that it is counted from."""

from projections.feeds.batches import OBSERVATION_BATCHES, REQUEST_BATCHES
from projections.feeds.feedback import FEEDBACK
from projections.projectors import TableProjector
from projections.rollups.arrivals import ARRIVALS, ARRIVE_AGAIN, of_feedback, of_observations, of_requests
from projections.rollups.statements import ROLLUPS
from projections.view import View

# A row counts as arrived once it is there.
VIEW = View(
    projectors=(
        TableProjector(feed=REQUEST_BATCHES, table=ARRIVALS, rows=of_requests, is_last=True),
        TableProjector(feed=OBSERVATION_BATCHES, table=ARRIVALS, rows=of_observations, is_last=True),
        TableProjector(feed=FEEDBACK, table=ARRIVALS, rows=of_feedback, is_last=True),
    ),
    tables=tuple(rollup.table for rollup in ROLLUPS),
    after_rebuild=ARRIVE_AGAIN,
)
