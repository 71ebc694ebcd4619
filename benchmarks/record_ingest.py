"""Request records a second from a filled topic into ClickHouse, with one consumer.

Kafka, ClickHouse and `projections` are the stack's own programs, without the rest. The topic is filled with batches in
the form and compression of the shipper before the consumer starts, so that nothing but the consumer is measured.
"""

import asyncio
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from benchmarks.figures import Figure, at_least
from benchmarks.neighbours import Neighbours, running_neighbours
from benchmarks.programs import new_folder, running
from infra.clickhouse.client import connect
from infra.kafka.clients import producer
from infra.kafka.connection import KafkaConnection
from schemas.observations import BatchHeaders
from schemas.topics import REQUESTS
from serving.gateway.request_batches import encode_rows

_ROWS = 400_000
_ROWS_FULL = 2_000_000
_SIZES = (500, 100)
_SOURCES = 4
_POLL_S = 0.1
_WITHIN_S = 180.0


def measure(*, full: bool) -> Iterator[list[Figure]]:
    """Fill the topic, start the consumer, and count until every row can be queried."""
    rows = _ROWS_FULL if full else _ROWS
    for batch_rows in _SIZES:
        with new_folder() as folder, running_neighbours(folder) as neighbours:
            asyncio.run(_fill(neighbours.bootstrap, rows=rows, batch_rows=batch_rows))
            yield _drain(folder, neighbours, rows=rows, batch_rows=batch_rows)
        rows //= 4


async def _fill(bootstrap: str, *, rows: int, batch_rows: int) -> None:
    sender = producer(KafkaConnection(bootstrap=bootstrap), client_id="benchmark", compression="gzip", linger_ms=5)
    await sender.start()
    sources = [f"shipper-{uuid.uuid4()}" for _ in range(_SOURCES)]
    began_ms = time.time_ns() // 1_000_000 - rows
    waiting = []
    for number in range(rows // batch_rows):
        source, batch = sources[number % _SOURCES], number // _SOURCES
        first = number * batch_rows
        headers = BatchHeaders(
            source=source,
            kind="requests",
            region="local",
            batch=batch,
            rows=batch_rows,
            closed_until_ms=began_ms + first,
            state="open",
        )
        value = encode_rows([_row(first + offset, began_ms=began_ms) for offset in range(batch_rows)])
        waiting.append(
            await sender.send(
                REQUESTS.name,
                key=source.encode(),
                value=value,
                headers=headers.as_kafka(),
                partition=number % REQUESTS.partitions,
            )
        )
    await asyncio.gather(*waiting)
    await sender.stop()


def _row(number: int, *, began_ms: int) -> tuple[Any, ...]:
    """Make a record as the gateway writes it: a new id each, two deployments, some errors."""
    candidate, at_ms = number % 4 == 0, began_ms + number
    deployment = "deployment-candidate" if candidate else "deployment-baseline"
    status = 500 if number % 200 == 0 else 200
    return (
        f"{at_ms}-{uuid.UUID(int=number)}", "default", "endpoint-measured", "digits", deployment,
        "version-2" if candidate else "version-1", "digits/2" if candidate else "digits/1",
        7, "primary", "local", f"instance-{deployment}", status, "", 1,
        at_ms, at_ms + 3, 3.1 + number % 17 / 10, 2.5 + number % 13 / 10, 480, 190,
        "gateway-measured", number // 100_000, number % 100_000 * 620, f"{number:032x}", deployment, "local",
    )  # fmt: skip


def _drain(folder: Path, neighbours: Neighbours, *, rows: int, batch_rows: int) -> list[Figure]:
    ready = folder / "projections.ready"
    settings = {
        "DATA_DIR": str(folder),
        "KAFKA_BOOTSTRAP": neighbours.bootstrap,
        "CLICKHOUSE_URL": neighbours.clickhouse_url,
        "READY_FILE": str(ready),
    }
    clickhouse = psutil.Process(neighbours.clickhouse_pid)
    clickhouse_before = sum(clickhouse.cpu_times()[:2])
    with running("projections", settings, is_ready=ready.exists) as pid, connect(neighbours.clickhouse_url) as client:
        began, consumer = time.monotonic(), psutil.Process(pid)
        consumer_before = sum(consumer.cpu_times()[:2])
        while (there := _counted(client)) < rows and time.monotonic() < began + _WITHIN_S:
            time.sleep(_POLL_S)
        took = time.monotonic() - began
        consumer_s = sum(consumer.cpu_times()[:2]) - consumer_before
        clickhouse_s = sum(clickhouse.cpu_times()[:2]) - clickhouse_before
    lost = rows - there
    prefix = f"batches of {batch_rows} rows"
    return [
        Figure(
            name=f"{prefix}: records into ClickHouse",
            value=there / took,
            unit="/s",
            goal=at_least(50_000) if batch_rows == _SIZES[0] else None,
            note=f"{there:,} rows in {took:.1f} s" + (f", {lost:,} MISSING" if lost else ""),
        ),
        Figure(
            name=f"{prefix}: CPU of the consumer a thousand records",
            value=1e6 * consumer_s / rows,
            unit="ms",
            note=f"ClickHouse {1e6 * clickhouse_s / rows:.2f} ms",
        ),
    ]


def _counted(client: Any) -> int:  # noqa: ANN401 - the driver's own class
    rows = client.query("SELECT count() FROM request_records").result_rows
    return int(rows[0][0])
