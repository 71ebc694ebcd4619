"""What the view of feature summaries makes of captured requests."""

import json
from collections.abc import Sequence
from typing import Any

from projections.feature_summaries.rows import summary_rows
from projections.feeds.batches import OBSERVATION_BATCHES
from projections.tables import assemble
from tests.support.read_side_messages import observation_row, observations

AT_MS = 1_700_000_040_000


def tensor(data: Any, shape: Sequence[int] = (1,), datatype: str = "FP64", **others: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"datatype": datatype, "shape": list(shape), "data": data, **others}


def requests(*documents: Any, **changes: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    """Return a captured request for each document of inputs: text, or what becomes JSON."""
    written = [document if isinstance(document, str) else json.dumps(document) for document in documents]
    return [
        observation_row(number, started_at_ms=AT_MS, prediction="", inputs=inputs, outputs="", **changes)
        for number, inputs in enumerate(written)
    ]


def summaries(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of the table, with maps as dictionaries."""
    message = observations(rows, at_ms=AT_MS + 60_000)
    made = summary_rows(OBSERVATION_BATCHES.decode(message), message)
    blocks = assemble([made.table], [made])
    found = [row for _, block in blocks for row in block.to_pylist()]
    return [row | {name: dict(row[name]) for name in ("bins", "categories")} for row in found]


def summarised(*documents: Any, **changes: Any) -> dict[str, dict[str, Any]]:  # noqa: ANN401
    """Return the rows of inputs of one scope by their features, without `status`."""
    found = summaries(requests(*documents, **changes))
    return {row["feature"].removeprefix("input."): row for row in found if row["feature"] != "status"}
