"""Batches of request records -> rows."""

from projections.batches import batch_rows
from projections.messages import Message
from projections.serving_metrics.rows import REQUEST_RECORDS
from projections.tables import Rows
from projections.watermarks.rows import SOURCES
from schemas.topics import REQUESTS


class RequestProjector:
    """Fills request_records, then the progress of the source."""

    topic = REQUESTS
    tables = (REQUEST_RECORDS, SOURCES)

    def project(self, message: Message) -> tuple[Rows, ...]:
        return batch_rows(message, table=REQUEST_RECORDS, kind="requests", time_column="ended_at_ms")
