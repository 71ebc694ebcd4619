"""Streams that break off on either side, an engine that dies while it serves, and limits that change meanwhile."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from schemas.events.endpoints import FailoverPolicy, FailoverPolicySet
from serving.gateway.clusters import Comebacks
from tests.support.gateway import GUARD_S, BackEnd, Gateway, calling, serve_digits, serving_gateway, until
from tests.support.records import KeepingSink, shipping
from tests.support.routing import added, announced, created, shifted, withdrawn

ENDPOINT = "endpoint-1"
INFER = "/v2/models/digits/infer"
LAST_REQUEST = 40
CALLERS = 16
FEW = 6
MAX_AHEAD = 100


class StreamingBackEnd(BackEnd):
    """Answers in pieces without end, and tells when its caller has left."""

    def __init__(self, name: str, *, dies_after: int | None = None) -> None:
        super().__init__(name)
        self.left = 0
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
        self.left += 1
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

    def asked(self) -> None:
        super().asked()
        if self.requests >= LAST_REQUEST and self._again is None:
            self._again = asyncio.create_task(self._die())

    async def _die(self) -> None:
        self.deaths += 1
        await self.kill()
        await asyncio.sleep(0.5)  # how long such a process is away
        self.requests = 0
        await self.start()
        self._again = None


@asynccontextmanager
async def load(
    client: httpx.AsyncClient, statuses: list[int], *, path: str = INFER, count: int = CALLERS, think_s: float = 0.0
) -> AsyncIterator[None]:
    """Have callers ask one request after the other, each a think time after its answer, until the block is left."""
    is_over = asyncio.Event()

    async def call() -> None:
        while not is_over.is_set():
            statuses.append((await client.post(path, json={})).status_code)
            await asyncio.sleep(think_s)

    callers = [asyncio.create_task(call()) for _ in range(count)]
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
            assert engine.left == 0
        await until(lambda: engine.left, why="an engine that was told")
        record = await record_of(sink, prediction_id)

    assert (record["deployment_id"], record["epoch"] == -1) == ("d1", False)
    assert "DC" in str(record["response_flags"]).split(",")

    async def is_free() -> bool:
        return not any((await gateway.stats("^cluster.d1.upstream_rq_active$")).values())

    await until(is_free, why="an engine on which nothing is under way")


def of_version(sink: KeepingSink) -> list[dict[str, object]]:
    return [row for row in sink.rows.values() if row["deployment_id"] == "d1"]


async def test_a_caller_who_gives_up_before_an_answer_begins_is_on_record_without_a_status(
    gateway: Gateway, client: httpx.AsyncClient
) -> None:
    engine = BackEnd("hanging")
    engine.may_answer.clear()
    await serve_digits(gateway, engine)
    sink = KeepingSink()

    async with shipping(gateway, sink):
        call = asyncio.create_task(client.post(INFER, json={}, timeout=GUARD_S))
        await until(lambda: engine.requests, why="a request that the engine has")
        call.cancel()
        await until(lambda: of_version(sink), why="its record")
    engine.may_answer.set()

    # Without a status it is an error of the version, not of the caller.
    (record,) = of_version(sink)
    assert (record["role"], record["status"], record["response_flags"]) == ("primary", 0, "DC")


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

    # What was begun cannot be begun again elsewhere: the caller has a part of it.
    assert engine.requests == 1
    assert record["deployment_id"] == "d1"
    assert {"UC", "UPE"} & set(str(record["response_flags"]).split(","))


async def test_an_engine_that_dies_again_and_again_fails_nobody(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, comebacks=Comebacks(ejection_s=0.5, slow_start_s=0.5))
    one, other = LabouringBackEnd("one"), BackEnd("other")
    statuses: list[int] = []

    async with serving_gateway(gateway), calling(gateway) as client:
        await serve(gateway, one, other)
        async with load(client, statuses, think_s=0.05):
            await until(lambda: one.deaths >= 3, within_s=90, why="three deaths")
        await until(lambda: not one.is_dying)

    assert set(statuses) == {200}
    assert len(statuses) >= 3 * LAST_REQUEST


async def of_limits(gateway: Gateway) -> AsyncIterator[None]:
    for turn in range(12):
        policy = FailoverPolicy(max_requests=500 + turn, max_retries=2 + turn % 3)
        gateway.tell(ENDPOINT, FailoverPolicySet(policy=policy, reason="test"))
        yield


async def of_instances(gateway: Gateway) -> AsyncIterator[None]:
    for _ in range(8):
        gateway.tell("instance-d1-1", withdrawn(ENDPOINT, "d1"))
        yield
        gateway.tell("instance-d1-1", announced(ENDPOINT, "d1", port=gateway.back_ends[1].port))
        yield


async def serve_neighbour(gateway: Gateway) -> None:
    gateway.tell("endpoint-2", created(name="letters"))
    await gateway.add("endpoint-2", "d2")
    await gateway.serves("endpoint-2", gateway.tell("endpoint-2", shifted(d2=[(0, 10_000)])))


class Progress(list[int]):
    """The statuses of an endpoint's answers; `max_meanwhile` is how many another had at most between two of them."""

    def __init__(self, other: list[int]) -> None:
        super().__init__()
        self.max_meanwhile = 0
        self._other = other
        self._others_then = 0

    def append(self, status: int) -> None:
        super().append(status)
        self.max_meanwhile = max(self.max_meanwhile, len(self._other) - self._others_then)
        self._others_then = len(self._other)


@pytest.mark.parametrize("changes", [of_limits, of_instances])
async def test_a_change_of_a_live_endpoint_costs_no_request_and_no_pause(
    gateway: Gateway, client: httpx.AsyncClient, changes: Callable[[Gateway], AsyncIterator[None]]
) -> None:
    await serve(gateway, BackEnd("one"), BackEnd("other"))
    await serve_neighbour(gateway)
    of_neighbour: list[int] = []
    statuses = Progress(of_neighbour)

    async with (
        load(client, of_neighbour, path="/v2/models/letters/infer", count=FEW),
        load(client, statuses, count=FEW),
    ):
        async for _ in changes(gateway):
            so_far = len(statuses)
            await until(lambda so_far=so_far: len(statuses) > so_far + 3 * FEW, why="answers after a change")

    assert Counter(statuses).keys() == {200}
    # The machine may pause both. A pause of the changed one alone lets the neighbour, with as many callers, run ahead.
    assert statuses.max_meanwhile < MAX_AHEAD
