"""The tables of captured observations and of feedback."""

from typing import Any

import msgspec
import pyarrow as pa

from projections.feeds.batches import batch_table
from projections.messages import Message
from projections.tables import Retention, Rows, Table
from schemas.observations import OBSERVATION_COLUMNS, Feedback

OBSERVATION_RECORDS = batch_table(
    "observation_records",
    OBSERVATION_COLUMNS,
    time_column="captured_at_ms",
    retention=Retention(days=7, days_column="retention_days"),
)
HAS_ANSWER = "(answer_hash != sipHash64('') OR prediction_datatype != '' OR status != 200)"
"""The condition on a row of `observation_records` that feedback can be compared with.

An answer that the capture policy withheld has no text and no data type. A failed request is an answer that is never
right.
"""

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
            ("kafka_generation", pa.uint16()),
            ("kafka_partition", pa.uint16()),
            ("kafka_offset", pa.uint64()),
        ],
    ),
    origin=("kafka_generation", "kafka_partition", "kafka_offset"),
    time_column="received_at_ms",
    retention=Retention(days=30),
)


def feedback_row(feedback: Feedback, message: Message) -> Rows:
    """Return the row of one document; the table itself lets the last one in the log win."""
    return Rows(FEEDBACK_ROWS, [feedback_values(feedback, message)])


def feedback_values(feedback: Feedback, message: Message) -> dict[str, Any]:
    """Return what a document says, and its place in the log."""
    return msgspec.structs.asdict(feedback) | {
        "kafka_generation": message.generation,
        "kafka_partition": message.partition,
        "kafka_offset": message.offset,
    }
