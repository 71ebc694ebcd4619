"""Captured requests of the past, as an engine would have shipped them, minute by minute."""

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from infra.kafka.clients import abandon, producer, start_producer
from infra.kafka.connection import KafkaConnection
from schemas.topics import OBSERVATIONS
from tests.support.read_side_messages import batch_message, headers, observation_row

MINUTE_MS = 60_000
Row: TypeAlias = Mapping[str, Any]
"""The values of a request by tensor: a number, a text or None."""


async def ship_past(
    bootstrap: str,
    rows_of: Callable[[int], list[Row]],
    *,
    minutes: range,
    endpoint_id: str,
    deployment_id: str,
    workspace: str = "default",
) -> None:
    """Ship what `rows_of` gives for each minute, which is a number of minutes since 1970, from an engine that ended."""
    boot = f"boot-{uuid.uuid4()}"
    known = {
        "workspace": workspace,
        "endpoint_id": endpoint_id,
        "deployment_id": deployment_id,
        "version_id": "version-1",
        "boot_id": boot,
    }
    sender = producer(KafkaConnection(bootstrap=bootstrap), client_id="past")
    await start_producer(sender)
    try:
        for batch, minute in enumerate(minutes):
            rows = list(_rows(rows_of(minute), minute, batch=batch, known=known))
            described = headers(
                source=boot,
                kind="observations",
                batch=batch,
                rows=len(rows),
                closed_until_ms=(minute + 1) * MINUTE_MS,
                is_closing=minute == minutes[-1],
            )
            message = batch_message(rows, described=described, offset=batch, timestamp_ms=(minute + 1) * MINUTE_MS)
            await sender.send_and_wait(
                OBSERVATIONS.name, key=message.key, value=message.value, headers=list(message.headers)
            )
    finally:
        await abandon(sender)


def _rows(rows: list[Row], minute: int, *, batch: int, known: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for number, row in enumerate(rows):
        tensors = {
            name: {"datatype": "BYTES" if isinstance(value, str) else "FP64", "shape": [1], "data": [value]}
            for name, value in row.items()
        }
        at_ms = minute * MINUTE_MS + number * (MINUTE_MS - 1_000) // max(len(rows), 1)
        yield observation_row(
            number, started_at_ms=at_ms, prediction="1", inputs=json.dumps(tensors), outputs="{}", **known
        ) | {"batch": batch, "row": number, "captured_at_ms": at_ms}
