"""The table of what served each prediction, which outlives the request records that it is made of."""

import pyarrow as pa
import pyarrow.compute as pc

from projections.feeds.batches import ARROW_TYPES, Batch
from projections.messages import Message
from projections.tables import Retention, Rows, Table
from schemas.observations import REQUEST_COLUMNS

_COLUMNS = (
    "workspace",
    "started_at_ms",
    "prediction_id",
    "role",
    "endpoint_id",
    "endpoint",
    "deployment_id",
    "version_id",
    "version",
    "epoch",
    "region",
    "instance",
    "status",
    "instance_region",
    "drawn_deployment_id",
)
# Earlier records do not say what was asked for.
_PREDICTIONS = pa.array(["prediction", ""])
_ORIGIN = (("kafka_partition", pa.uint16()), ("kafka_offset", pa.uint64()))

PREDICTION_INDEX = Table(
    name="prediction_index",
    columns=pa.schema(
        [
            *(pa.field(name, ARROW_TYPES[REQUEST_COLUMNS[name]], nullable=False) for name in _COLUMNS),
            *(pa.field(name, kind, nullable=False) for name, kind in _ORIGIN),
        ],
    ),
    time_column="started_at_ms",
    retention=Retention(days=400),
)


def index_rows(batch: Batch, message: Message) -> Rows:
    """Return a row for each prediction of a known caller: nobody else can ask who served it."""
    requests = batch.columns
    is_known = pc.and_(pc.not_equal(requests["workspace"], ""), pc.not_equal(requests["prediction_id"], ""))
    is_asked_for = pc.and_(is_known, pc.is_in(requests["kind"], _PREDICTIONS))
    found = requests.select(_COLUMNS).filter(is_asked_for)
    values = (message.partition, message.offset)
    origin = [
        pa.repeat(pa.scalar(value, type=kind), found.num_rows) for value, (_, kind) in zip(values, _ORIGIN, strict=True)
    ]
    return Rows(PREDICTION_INDEX, pa.Table.from_arrays([*found.columns, *origin], schema=PREDICTION_INDEX.columns))
