"""Streams that break off on either side, an engine that dies while it serves, and limits that change meanwhile."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from schemas.events.endpoints import FailoverPolicy, FailoverPolicySet
from tests.support.gateway import BackEnd, Gateway, serve_digits, until
from tests.support.records import KeepingSink, shipping
from tests.support.routing import added, announced, created, shifted, withdrawn

ENDPOINT = "endpoint-1"
INFER = "/v2/models/digits/infer"
LAST_REQUEST = 100
CALLERS = 16


class StreamingBackEnd(BackEnd):
    """Answers in pieces without end, and tells when its caller has left."""

    def __init__(self, name: str, *, dies_after: int | None = None) -> None:
        super().__init__(name)
        self.left: list[float] = []
        self._dies_after = dies_after

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]))
        self.requests += 1
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        gone = asyncio.create_task(reader.read())
        pieces = 0
        while not gone.done() and pieces != self._dies_after:
            pieces += 1
            writer.write(b"3\r\n%02d\n\r\n" % (pieces % 100))
            await asyncio.wait({gone}, timeout=0.05)
        self.left.append(time.monotonic())
        gone.cancel()
        writer.transport.abort()


async def test_a_relay_whose_engine_is_gone_is_passed_over(gateway: Gateway, client: httpx.AsyncClient) -> None:
    gateway.tell(ENDPOINT, created())
    (relay,) = await gateway.add(ENDPOINT, "d1")
    (backup,) = await gateway.add(ENDPOINT, "d2", number=2)
    gateway.tell(ENDPOINT, FailoverPolicySet(policy=FailoverPolicy(backup_deployment_id="d2"), reason="test"))
    await gateway.serves(ENDPOINT, gateway.tell(ENDPOINT, shifted(d1=[(0, 10_000)])))
    assert (await client.post(INFER, json={})).json()["backend"] == relay.name

    relay.has_no_engine = True
    answers = [await client.post(INFER, json={}) for _ in range(40)]

    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["backend"] for answer in answers} == {backup.name}
    await backup.kill()
    nobody = await client.post(INFER, json={})
    assert nobody.status_code == 503
    assert "x-rollbook-unanswered" not in nobody.headers


class LabouringBackEnd(BackEnd):
    """Dies as a process does at a certain request, and is started again at its port a moment later."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.deaths = 0
        self._again: asyncio.Task[None] | None = None

    @property
    def is_dying(self) -> bool:
        return self._again is not None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.requests >= LAST_REQUEST and self._again is None:
            self._again = asyncio.create_task(self._die())
        await super()._serve(reader, writer)

    async def _die(self) -> None:
        self.deaths += 1
        await self.kill()
        await asyncio.sleep(0.5)
        self.requests = 0
        await self.start()
        self._again = None


@asynccontextmanager
async def load(client: httpx.AsyncClient, statuses: list[int]) -> AsyncIterator[None]:
    """Have callers ask one request after the other until the block is left."""
    is_over = asyncio.Event()

    async def call() -> None:
        while not is_over.is_set():
            statuses.append((await client.post(INFER, json={})).status_code)

    callers = [asyncio.create_task(call()) for _ in range(CALLERS)]
    try:
        yield
    finally:
        is_over.set()
        await asyncio.gather(*callers)


async def serve(gateway: Gateway, *back_ends: BackEnd) -> None:
    gateway.tell(ENDPOINT, created())
    gateway.tell(ENDPOINT, added("d1"))
    for number, back_end in enumerate(back_ends):
        gateway.back_ends.append(await back_end.start())
        gateway.tell(f"instance-d1-{number}", announced(ENDPOINT, "d1", port=back_end.port))
    await gateway.serves(ENDPOINT, gateway.tell(ENDPOINT, shifted(d1=[(0, 10_000)])))


async def record_of(sink: KeepingSink, prediction_id: str) -> dict[str, object]:
    def found() -> list[dict[str, object]]:
        return [row for row in sink.rows.values() if row["prediction_id"] == prediction_id]

    await until(found, why="its record")
    (record,) = found()
    return record


async def test_a_caller_who_leaves_in_mid_stream_frees_the_engine_and_is_on_record(
    gateway: Gateway, client: httpx.AsyncClient
) -> None:
    engine = StreamingBackEnd("streaming")
    await serve_digits(gateway, engine)
    sink = KeepingSink()

    async with shipping(gateway, sink):
        async with client.stream("POST", INFER, content=b"") as answer:
            prediction_id = answer.headers["x-prediction-id"]
            await anext(answer.aiter_raw())
            assert engine.left == []
            gone_at = time.monotonic()
        await until(lambda: engine.left, why="an engine that was told")
        record = await record_of(sink, prediction_id)

    assert engine.left[0] - gone_at < 2
    assert (record["deployment_id"], record["epoch"] == -1) == ("d1", False)
    assert "DC" in str(record["response_flags"]).split(",")
    active = await gateway.stats("^cluster.d1.upstream_rq_active$")
    assert active == {"cluster.d1.upstream_rq_active": 0}


async def test_an_engine_that_dies_in_mid_stream_breaks_the_answer_off_and_the_record_says_so(
    gateway: Gateway, client: httpx.AsyncClient
) -> None:
    engine = StreamingBackEnd("dying", dies_after=3)
    await serve_digits(gateway, engine)
    sink = KeepingSink()

    async with shipping(gateway, sink):
        async with client.stream("POST", INFER, content=b"") as answer:
            prediction_id = answer.headers["x-prediction-id"]
            with pytest.raises(httpx.RemoteProtocolError):
                async for _ in answer.aiter_raw():
                    pass
        record = await record_of(sink, prediction_id)

    # What was begun can't be begun again elsewhere: the caller has a part of it.
    assert engine.requests == 1
    assert record["deployment_id"] == "d1"
    assert {"UC", "UPE"} & set(str(record["response_flags"]).split(","))


async def test_engines_that_die_at_their_hundredth_request_fail_nobody(
    gateway: Gateway, client: httpx.AsyncClient
) -> None:
    one, other = LabouringBackEnd("one"), BackEnd("other")
    await serve(gateway, one, other)
    statuses: list[int] = []

    async with load(client, statuses):
        await until(lambda: one.deaths >= 3, within_s=60)
    await until(lambda: not one.is_dying)

    assert set(statuses) == {200}
    assert len(statuses) >= 3 * LAST_REQUEST


async def of_limits(gateway: Gateway) -> None:
    for turn in range(12):
        policy = FailoverPolicy(max_requests=500 + turn, max_retries=2 + turn % 3)
        gateway.tell(ENDPOINT, FailoverPolicySet(policy=policy, reason="test"))
        await asyncio.sleep(0.15)


async def of_instances(gateway: Gateway) -> None:
    for _ in range(12):
        gateway.tell("instance-d1-1", withdrawn(ENDPOINT, "d1"))
        await asyncio.sleep(0.15)
        gateway.tell("instance-d1-1", announced(ENDPOINT, "d1", port=gateway.back_ends[1].port))
        await asyncio.sleep(0.15)


@pytest.mark.parametrize("changes", [of_limits, of_instances])
async def test_a_change_of_a_live_endpoint_costs_no_request_and_no_pause(
    gateway: Gateway, client: httpx.AsyncClient, changes: Callable[[Gateway], Awaitable[None]]
) -> None:
    await serve(gateway, BackEnd("one"), BackEnd("other"))
    statuses: list[int] = []
    pauses: list[float] = []

    async def watch() -> None:
        seen, since = 0, time.monotonic()
        while True:
            await asyncio.sleep(0.01)
            if len(statuses) != seen:
                seen, since = len(statuses), time.monotonic()
            pauses.append(time.monotonic() - since)

    async with load(client, statuses):
        await until(lambda: len(statuses) > 100)
        watcher = asyncio.create_task(watch())
        await changes(gateway)
        so_far = len(statuses)
        await until(lambda: len(statuses) > so_far + 100)
        watcher.cancel()

    assert Counter(statuses).keys() == {200}
    assert max(pauses) < 1
