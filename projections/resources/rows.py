"""The table of telemetry: one row for each measure of each sample."""

from projections.feeds.batches import batch_table
from projections.tables import Retention
from schemas.observations import TELEMETRY_COLUMNS

TELEMETRY_SAMPLES = batch_table(
    "telemetry_samples", TELEMETRY_COLUMNS, time_column="sampled_at_ms", retention=Retention(days=2)
)
