"""Domain events -> when endpoints went out of service and came back."""

from projections.downtime.rows import DOWNTIME
from projections.messages import Message
from projections.tables import Rows
from schemas.catalogue import read_data
from schemas.envelope import RecordedEvent, unix_ms
from schemas.events.maintenance import MaintenanceBegun, MaintenanceEnded


def downtime_rows(recorded: RecordedEvent, message: Message) -> Rows:
    """Return the row of an event that takes an endpoint out of service or back, or no row."""
    envelope = recorded.envelope
    event = read_data(envelope.type, envelope.data)
    if not isinstance(event, MaintenanceBegun | MaintenanceEnded):
        return Rows(DOWNTIME, [])
    at = unix_ms(envelope.time)
    row = {
        "workspace": envelope.workspace,
        "endpoint_id": event.endpoint_id,
        "maintenance_id": envelope.stream,
        "position": recorded.position,
        "begun_at": at if isinstance(event, MaintenanceBegun) else None,
        "ended_at": at if isinstance(event, MaintenanceEnded) else None,
        "kafka_partition": message.partition,
        "kafka_offset": message.offset,
    }
    return Rows(DOWNTIME, [row])
