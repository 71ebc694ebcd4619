"""The row that the registration of a version leaves, if its first output names its classes."""

import pyarrow as pa

from projections.messages import Message
from projections.tables import Rows, Table
from schemas.catalogue import read_data
from schemas.envelope import RecordedEvent
from schemas.events.registry import ModelVersionRegistered

CLASS_NAMES = Table(
    name="class_names",
    columns=pa.schema(
        [
            ("workspace", pa.string()),
            ("version_id", pa.string()),
            ("classes", pa.list_(pa.string())),
            ("kafka_partition", pa.uint16()),
            ("kafka_offset", pa.uint64()),
        ],
    ),
)
CLASSES = "(SELECT workspace, version_id, classes FROM class_names FINAL)"
"""The classes of versions that name them, as SQL."""


def class_names_row(recorded: RecordedEvent, message: Message) -> Rows:
    """Return the classes of a version that was registered; feedback is compared with its first output."""
    envelope = recorded.envelope
    event = read_data(envelope.type, envelope.data)
    outputs = event.signature.outputs if isinstance(event, ModelVersionRegistered) else ()
    if not (outputs and outputs[0].classes):
        return Rows(CLASS_NAMES, [])
    row = {
        "workspace": envelope.workspace,
        "version_id": envelope.stream,
        "classes": outputs[0].classes,
        "kafka_partition": message.partition,
        "kafka_offset": message.offset,
    }
    return Rows(CLASS_NAMES, [row])
