"""The table of summaries, and what a batch of observations adds to it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from projections.feature_summaries import names
from projections.feature_summaries.choice import chosen
from projections.feature_summaries.counting import columns_of_numbers, columns_of_texts
from projections.feature_summaries.features import Feature, Features
from projections.feature_summaries.scopes import SCOPE, Scopes
from projections.feeds.batches import ORIGIN, Batch
from projections.messages import Message
from projections.tables import Retention, Rows, Table

_ANY_DAYS = 3_650
"""More than rows are kept."""


def _counts_by(kind: pa.DataType) -> pa.DataType:
    return pa.map_(kind, pa.field("value", pa.uint32(), nullable=False))


_COLUMNS: Mapping[str, pa.DataType] = {
    **dict.fromkeys(("workspace", "endpoint_id", "deployment_id", "version_id", "boot_id"), pa.string()),
    **dict.fromkeys(("batch", "minute_ms"), pa.int64()),
    **dict.fromkeys(("feature", "kind"), pa.string()),
    **dict.fromkeys(("values", "missing", "infinite", "unreadable", "cut"), pa.uint64()),
    **dict.fromkeys(("sum_of_values", "sum_of_squares", "minimum", "maximum"), pa.float64()),
    "bins": _counts_by(pa.int32()),
    "categories": _counts_by(pa.string()),
    "category_days": pa.int32(),
    **dict(ORIGIN),
}
FEATURE_SUMMARIES = Table(
    name="feature_summaries",
    columns=pa.schema([pa.field(name, kind, nullable=False) for name, kind in _COLUMNS.items()]),
    origin=tuple(name for name, _ in ORIGIN),
    time_column="minute_ms",
    retention=Retention(days=35),
)


def summary_rows(batch: Batch, message: Message) -> Rows:
    """Return a row for each feature of each deployment in each minute of a batch."""
    scopes = Scopes()
    scopes.add_all(batch)
    features = Features()
    features.add_all(scopes.gathering)
    stored, left_out = chosen(features.numbers)
    stored |= _statuses(features, scopes, left_out)
    numbers = list(stored.values())
    columns = columns_of_numbers(features, numbers) | columns_of_texts(features, numbers)
    columns |= {name: _of_each(scopes.column(name), stored) for name in SCOPE}
    columns |= {"feature": [each.name for each in stored], "kind": [each.kind for each in stored]}
    columns["category_days"] = [
        scopes.retention_days[each.scope] if number in features.captured_texts else _ANY_DAYS
        for each, number in stored.items()
    ]
    origin = (batch.headers.source, message.partition, message.offset)
    columns |= {name: [value] * len(numbers) for value, (name, _) in zip(origin, ORIGIN, strict=True)}
    schema = FEATURE_SUMMARIES.columns
    arrays = [_array(columns[field.name], field.type) for field in schema]
    return Rows(FEATURE_SUMMARIES, pa.Table.from_arrays(arrays, schema=schema))


def _statuses(features: Features, scopes: Scopes, left_out: Counter[int]) -> dict[Feature, int]:
    """Count the requests of each scope, and what of them could not be summarised."""
    added = {}
    for scope, counted in scopes.statuses.items():
        number = features.number_of(scope, names.STATUS, "category")
        features.texts[number] = counted
        features.unreadable[number] += scopes.gathering.unreadable_documents[scope]
        features.cut[number] += left_out[scope]
        added[Feature(scope, names.STATUS, "category")] = number
    return added


def _of_each(values: Sequence[Any], stored: Iterable[Feature]) -> list[Any]:
    return [values[feature.scope] for feature in stored]


def _array(values: Any, kind: pa.DataType) -> pa.Array:  # noqa: ANN401  whatever a column is made of
    return values.cast(kind) if isinstance(values, pa.Array) else pa.array(values, type=kind)
