"""What the engines captured, as ClickHouse holds it."""

from typing import Any

from infra.clickhouse.client import connect
from tests.support.eventually import eventually
from tests.support.stack import RunningStack

_MEASURES = ("deployment_id", "status", "tokens_in", "tokens_out", "first_token_ms", "token_ms", "finish_reason")
_NAMES = (*_MEASURES, "inputs", "outputs", "prediction")


def observed(stack: RunningStack, prediction_id: str) -> dict[str, Any]:
    """Wait for what the engine captured of a prediction."""
    found = eventually(lambda: _rows(stack, prediction_id), f"what was captured of {prediction_id}", within_s=300)
    return dict(zip(_NAMES, found[0], strict=True))


def _rows(stack: RunningStack, prediction_id: str) -> list[tuple[Any, ...]]:
    client = connect(stack.clickhouse_url)
    try:
        columns = ", ".join(_NAMES)
        statement = f"SELECT {columns} FROM observation_records FINAL WHERE prediction_id = {{id:String}}"  # noqa: S608
        return [tuple(row) for row in client.query(statement, parameters={"id": prediction_id}).result_rows]
    finally:
        client.close()
