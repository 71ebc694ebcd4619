"""What instances, hosts and gateways use."""

from functools import partial

from projections.feeds.batches import TELEMETRY_BATCHES, batch_rows
from projections.projectors import TableProjector
from projections.resources.operations import operations
from projections.resources.rows import TELEMETRY_SAMPLES
from projections.view import View

VIEW = View(
    projectors=(
        TableProjector(
            feed=TELEMETRY_BATCHES, table=TELEMETRY_SAMPLES, rows=partial(batch_rows, table=TELEMETRY_SAMPLES)
        ),
    ),
    operations=operations,
)
