"""The table of all domain events."""

import pyarrow as pa

from projections.messages import Message
from projections.tables import Rows, Table
from schemas.envelope import RecordedEvent, unix_ms

DOMAIN_EVENTS = Table(
    name="domain_events",
    columns=pa.schema(
        [
            ("position", pa.uint64()),
            ("event_id", pa.string()),
            ("type", pa.string()),
            ("workspace", pa.string()),
            ("stream", pa.string()),
            ("stream_version", pa.uint32()),
            ("at", pa.timestamp("ms", tz="UTC")),
            ("actor", pa.string()),
            ("correlation_id", pa.string()),
            ("causation_id", pa.string()),
            ("command_id", pa.string()),
            ("event", pa.string()),
            ("kafka_partition", pa.uint16()),
            ("kafka_offset", pa.uint64()),
        ],
    ),
    time_column="at",
)


def event_row(recorded: RecordedEvent, message: Message) -> Rows:
    """Return the row of one event, its canonical bytes unchanged."""
    envelope = recorded.envelope
    row = {
        "position": recorded.position,
        "event_id": envelope.id,
        "type": envelope.type,
        "workspace": envelope.workspace,
        "stream": envelope.stream,
        "stream_version": envelope.streamversion,
        "at": unix_ms(envelope.time),
        "actor": envelope.actor,
        "correlation_id": envelope.correlationid,
        "causation_id": envelope.causationid,
        "command_id": envelope.commandid,
        "event": recorded.canonical.decode(),
        "kafka_partition": message.partition,
        "kafka_offset": message.offset,
    }
    return Rows(DOMAIN_EVENTS, [row])
