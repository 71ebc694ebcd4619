"""The tables of captured observations and of feedback."""

import pyarrow as pa

from projections.batches import batch_table
from projections.tables import Table
from schemas.observations import OBSERVATION_COLUMNS

OBSERVATION_RECORDS = batch_table("observation_records", OBSERVATION_COLUMNS)
FEEDBACK_ROWS = Table(
    name="feedback",
    columns=pa.schema(
        [
            ("workspace", pa.string()),
            ("prediction_id", pa.string()),
            ("source", pa.string()),
            ("name", pa.string()),
            ("value", pa.string()),
            ("observed_at_ms", pa.int64()),
            ("received_at_ms", pa.int64()),
            ("kafka_partition", pa.uint16()),
            ("kafka_offset", pa.uint64()),
        ],
    ),
)
