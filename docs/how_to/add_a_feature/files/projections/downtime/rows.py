"""The table of when endpoints went out of service and came back."""

import pyarrow as pa

from projections.tables import Table

DOWNTIME = Table(
    name="downtime",
    columns=pa.schema(
        [
            ("workspace", pa.string()),
            ("endpoint_id", pa.string()),
            ("maintenance_id", pa.string()),
            ("position", pa.uint64()),
            ("begun_at", pa.timestamp("ms", tz="UTC")),
            ("ended_at", pa.timestamp("ms", tz="UTC")),
            ("kafka_partition", pa.uint16()),
            ("kafka_offset", pa.uint64()),
        ],
    ),
)
