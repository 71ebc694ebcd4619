"""A steady stream of request records, captured answers and labels for rollouts, written into the topics as shippers do.

It runs in a thread of its own. Every quarter of a second it writes a batch of requests and one of captured answers,
which close the time until then, and a label for each answer.
"""

import asyncio
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

import msgspec
import pyarrow as pa
from aiokafka import AIOKafkaProducer

from infra.kafka.clients import producer
from infra.kafka.connection import KafkaConnection
from schemas.observations import COLUMNS_ADDED_LATER, OBSERVATION_COLUMNS, BatchHeaders, Feedback, SourceKind
from schemas.topics import FEEDBACK, OBSERVATIONS, REQUESTS
from serving.gateway.request_batches import encode_rows

_EVERY_S = 0.25
_ROWS = 50
_WRONG_EVERY = 17
_ERROR_EVERY = 500
_TYPES = {"string": pa.string(), "int64": pa.int64(), "int32": pa.int32(), "int16": pa.int16(), "float64": pa.float64()}
_OBSERVATIONS = pa.schema([(name, _TYPES[kind]) for name, kind in OBSERVATION_COLUMNS.items()])
_MODEL = {"version_id": "version-1", "version": "digits/1"}


class Served(msgspec.Struct, kw_only=True):
    """A rollout's epoch, which both arms answer by turns; the candidate of one that `is_bad` fails every request."""

    rollout_id: str
    endpoint: str
    endpoint_id: str
    epoch: int
    candidate: str
    baseline: str
    is_bad: bool = False


class Stream:
    """What is written: for whatever `served` holds, which may be replaced at any time."""

    def __init__(self, bootstrap: str) -> None:
        self.served: Sequence[Served] = ()
        self.rows = 0
        self.bad_since: float | None = None
        self._bootstrap = bootstrap
        self._batch = 0
        self._sources = {kind: f"{kind}-{uuid.uuid4()}" for kind in ("requests", "observations")}

    async def write(self, stopping: Event) -> None:
        sender = producer(KafkaConnection(bootstrap=self._bootstrap), client_id="benchmark", linger_ms=2)
        await sender.start()
        try:
            while not stopping.is_set():
                began = time.monotonic()
                await self._write_batch(sender)
                await asyncio.sleep(max(0.0, began + _EVERY_S - time.monotonic()))
        finally:
            await sender.stop()

    async def _write_batch(self, sender: AIOKafkaProducer) -> None:
        closed_ms, served = time.time_ns() // 1_000_000, self.served
        numbers = range(self.rows, self.rows + _ROWS) if served else range(0)
        asked = [_Request(number, served[number % len(served)], at_ms=closed_ms - 10) for number in numbers]
        self.rows += len(asked)
        requests = encode_rows([each.record() for each in asked])
        observations = _encoded([each.observation(self._batch) for each in asked])
        await asyncio.gather(
            self._send(sender, "requests", requests, rows=len(asked), closed_ms=closed_ms),
            self._send(sender, "observations", observations, rows=len(asked), closed_ms=closed_ms),
            *[sender.send_and_wait(FEEDBACK.name, key=each.id.encode(), value=each.label()) for each in asked],
        )
        if self.bad_since is None and any(each.is_error and each.of.is_bad for each in asked):
            self.bad_since = time.time()
        self._batch += 1

    async def _send(
        self, sender: AIOKafkaProducer, kind: SourceKind, value: bytes, *, rows: int, closed_ms: int
    ) -> None:
        described = BatchHeaders(
            source=self._sources[kind],
            kind=kind,
            region="local",
            batch=self._batch,
            rows=rows,
            closed_until_ms=closed_ms,
            state="open",
        )
        topic = REQUESTS if kind == "requests" else OBSERVATIONS
        await sender.send_and_wait(
            topic.name, key=described.source.encode(), value=value, headers=described.as_kafka(), partition=0
        )


@contextmanager
def streaming(bootstrap: str) -> Iterator[Stream]:
    """Write until the block is left."""
    stream, stopping = Stream(bootstrap), Event()
    thread = Thread(target=lambda: asyncio.run(stream.write(stopping)))
    thread.start()
    try:
        yield stream
    finally:
        stopping.set()
        thread.join()


class _Request:
    """One request of a rollout's epoch."""

    def __init__(self, number: int, of: Served, *, at_ms: int) -> None:
        turn = number // 7
        self.number, self.of, self.at_ms = number, of, at_ms
        self.arm = of.candidate if turn % 2 else of.baseline
        self.id = f"{at_ms:013d}-{uuid.UUID(int=number, version=4)}"
        self.is_error = (of.is_bad and self.arm == of.candidate) or number % _ERROR_EVERY == 0

    def record(self) -> tuple[Any, ...]:
        of, number = self.of, self.number
        return (
            self.id, "default", of.endpoint_id, of.endpoint, self.arm, _MODEL["version_id"], _MODEL["version"],
            of.epoch, "primary", "local", f"instance-{self.arm}", 500 if self.is_error else 200, "", 1,
            self.at_ms, self.at_ms + 3, 3.1 + number % 17 / 10, 2.5 + number % 13 / 10, 480, 190,
            "gateway-measured", number // 100_000, number % 100_000 * 620, f"{number:032x}", self.arm, "local",
        )  # fmt: skip

    def observation(self, batch: int) -> dict[str, Any]:
        return {
            "prediction_id": self.id,
            "workspace": "default",
            "endpoint_id": self.of.endpoint_id,
            "deployment_id": self.arm,
            "version_id": _MODEL["version_id"],
            "instance_id": f"instance-{self.arm}",
            "captured_at_ms": self.at_ms + 2,
            "status": 200,
            "inputs": "[]",
            "outputs": "[7]",
            "prediction": "7",
            "engine_ms": 2.0,
            "boot_id": "boot-1",
            "batch": batch,
            "row": self.number % 100_000,
            **{name: value for name, value in COLUMNS_ADDED_LATER.items() if name in OBSERVATION_COLUMNS},
        }

    def label(self) -> bytes:
        told = Feedback(
            workspace="default",
            prediction_id=self.id,
            source="api",
            name="label",
            value="1" if self.number % _WRONG_EVERY == 0 else "7",
            observed_at_ms=self.at_ms,
            received_at_ms=self.at_ms,
        )
        return msgspec.json.encode(told)


def _encoded(rows: list[dict[str, Any]]) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, _OBSERVATIONS) as writer:
        writer.write_table(pa.Table.from_pylist(rows, schema=_OBSERVATIONS))
    return bytes(sink.getvalue())
