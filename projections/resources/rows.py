"""The table of telemetry: one row for each measure of each sample."""

from projections.batches import batch_table
from schemas.observations import TELEMETRY_COLUMNS

TELEMETRY_SAMPLES = batch_table("telemetry_samples", TELEMETRY_COLUMNS)
