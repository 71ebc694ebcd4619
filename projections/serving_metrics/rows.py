"""The table of request records: one row for every request that reached a gateway."""

from projections.batches import batch_table
from schemas.observations import REQUEST_COLUMNS

REQUEST_RECORDS = batch_table("request_records", REQUEST_COLUMNS)
