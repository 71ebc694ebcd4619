"""Batches of telemetry -> rows."""

from projections.batches import batch_rows
from projections.messages import Message
from projections.resources.rows import TELEMETRY_SAMPLES
from projections.tables import Rows
from projections.watermarks.rows import SOURCES
from schemas.topics import TELEMETRY


class TelemetryProjector:
    """Fills telemetry_samples, then the progress of the source."""

    topic = TELEMETRY
    tables = (TELEMETRY_SAMPLES, SOURCES)

    def project(self, message: Message) -> tuple[Rows, ...]:
        return batch_rows(message, table=TELEMETRY_SAMPLES, kind="telemetry", time_column="sampled_at_ms")
