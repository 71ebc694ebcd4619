"""The table of what happened to each rollout."""

import msgspec
import pyarrow as pa

from projections.tables import Table

ROLLOUT_TIMELINE = Table(
    name="rollout_timeline",
    columns=pa.schema(
        [
            ("workspace", pa.string()),
            ("rollout_id", pa.string()),
            ("endpoint_id", pa.string()),
            ("position", pa.uint64()),
            ("at", pa.timestamp("ms", tz="UTC")),
            ("stream", pa.string()),
            ("stream_version", pa.uint32()),
            ("type", pa.string()),
            ("step", pa.int32()),
            ("weight_percent", pa.float64()),
            ("epoch", pa.int64()),
            ("summary", pa.string()),
            ("reason", pa.string()),
            ("verdicts", pa.string()),
            ("kafka_partition", pa.uint16()),
            ("kafka_offset", pa.uint64()),
        ],
    ),
    time_column="at",
)


class EntryBase(msgspec.Struct, frozen=True, kw_only=True):
    """What an event says of a rollout, as it is kept and as it is shown."""

    step: int | None = None
    weight_percent: float | None = None
    epoch: int | None = None
    summary: str
    reason: str = ""


class Entry(EntryBase, frozen=True, kw_only=True):
    """What an event adds to the timeline beyond its envelope. `rollout_id` is "" where only the epoch tells."""

    rollout_id: str
    endpoint_id: str = ""
    verdicts: str = "[]"
