"""The table of request records: one row for every request that reached a gateway."""

from projections.feeds.batches import batch_table
from projections.tables import Retention
from schemas.observations import REQUEST_COLUMNS

REQUEST_RECORDS = batch_table(
    "request_records", REQUEST_COLUMNS, time_column="ended_at_ms", retention=Retention(days=7)
)
