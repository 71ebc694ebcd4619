"""Up to when each source of the data plane is complete."""

from projections.feeds.batches import OBSERVATION_BATCHES, REQUEST_BATCHES, TELEMETRY_BATCHES
from projections.projectors import TableProjector
from projections.view import View
from projections.watermarks.rows import SOURCES, source_row

VIEW = View(
    projectors=tuple(
        TableProjector(feed=feed, table=SOURCES, rows=source_row, is_last=True)
        for feed in (REQUEST_BATCHES, OBSERVATION_BATCHES, TELEMETRY_BATCHES)
    )
)
