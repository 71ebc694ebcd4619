"""The row that each batch leaves about its source."""

import pyarrow as pa

from projections.feeds.batches import Batch
from projections.messages import Message
from projections.tables import Rows, Table

SOURCES = Table(
    name="sources",
    columns=pa.schema(
        [
            ("kind", pa.string()),
            ("source", pa.string()),
            ("region", pa.string()),
            ("batch", pa.int64()),
            ("rows", pa.int64()),
            ("closed_until_ms", pa.int64()),
            ("is_closing", pa.uint8()),
            ("first_seen_ms", pa.int64()),
            ("last_seen_ms", pa.int64()),
            ("seen", pa.int64()),
            ("unsampled", pa.int64()),
            ("log_id", pa.string()),
        ],
    ),
    folds=True,
    origin=(),
    time_column="last_seen_ms",
)


def source_row(batch: Batch, message: Message) -> Rows:
    """Return what a batch says of its source."""
    headers = batch.headers
    row = {
        "kind": headers.kind,
        "source": headers.source,
        "region": headers.region,
        "batch": headers.batch,
        "rows": headers.rows,
        "closed_until_ms": headers.closed_until_ms,
        "is_closing": int(headers.state == "closing"),
        "first_seen_ms": message.timestamp_ms,
        "last_seen_ms": message.timestamp_ms,
        "seen": headers.seen,
        "unsampled": headers.unsampled,
        "log_id": headers.log_id,
    }
    return Rows(SOURCES, [row])
