"""A sleeping deployment behind a real Envoy: its first requests wait, then reach the instance that was started."""

import asyncio
import errno
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import ExitStack
from pathlib import Path

import httpx
import msgspec
import pytest
from tritonclient.grpc import InferInput
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from infra.background import Background
from schemas.events.endpoints import InstanceWithdrawn, ScalingPolicySet
from schemas.scaling import ScalingPolicy
from serving.gateway import names
from serving.gateway.waiting_rooms import HoldLimits, WaitingRooms
from serving.runtime.manifest import write_manifest
from tests.support.digits import digits, trained
from tests.support.engine_process import running, write_model
from tests.support.gateway import GUARD_S, BackEnd, Gateway, until
from tests.support.records import KeepingSink, shipping
from tests.support.routing import added, announced, created, shifted

ENDPOINT, DEPLOYMENT = "endpoint-1", "d1"
PATH = "/v2/models/digits/infer"
MAX_WAITING = 8
PIXELS = digits()[0][:1]


class Woken:
    def __init__(self) -> None:
        self.calls = 0
        self.is_away = False

    async def wake(self, endpoint_id: str, deployment_id: str, *, reason: str) -> None:
        assert (endpoint_id, deployment_id, bool(reason)) == (ENDPOINT, DEPLOYMENT, True)
        if self.is_away:
            raise httpx.ConnectError("away")
        self.calls += 1


class Sleeper:
    """The endpoint whose one deployment sleeps, and the follower's part: rooms first, then Envoy."""

    def __init__(self, gateway: Gateway, waker: Woken, *, seconds: float) -> None:
        self.gateway = gateway
        self.waker = waker
        limits = HoldLimits(requests=MAX_WAITING, seconds=seconds)
        self.rooms = WaitingRooms(gateway.folder, waker=waker, limits=limits, background=Background())
        gateway.also_on_taken = self.on_taken

    def on_taken(self, type_url: str, taken: list[str]) -> None:
        for name in taken if type_url == names.ENDPOINTS_TYPE else ():
            if self.gateway.table.is_answered(name):
                self.rooms.let_go(name)

    def tell(self, stream: str, event: msgspec.Struct) -> int:
        change = self.gateway.table.take(self.gateway.log.append(stream, event))
        self.rooms.prepare(change, self.gateway.table)
        self.gateway.put(change)
        return self.gateway.log.version_of(stream)

    async def sleep(self) -> None:
        policy = ScalingPolicy(min_replicas=0, max_replicas=2, in_flight=4.0)
        self.tell(ENDPOINT, created(salt="salt"))
        self.tell(ENDPOINT, added(DEPLOYMENT))
        self.tell(ENDPOINT, ScalingPolicySet(policy=policy, reason="test"))
        await self.gateway.serves(ENDPOINT, self.tell(ENDPOINT, shifted(d1=[(0, 10_000)])))

    async def wake(self) -> BackEnd:
        back_end = await BackEnd("instance-1").start()
        self.gateway.back_ends.append(back_end)
        self.tell("instance-1", announced(ENDPOINT, DEPLOYMENT, port=back_end.port))
        return back_end


@pytest.fixture
async def sleeper(gateway: Gateway, request: pytest.FixtureRequest) -> AsyncIterator[Sleeper]:
    """A sleeping endpoint whose requests wait as long as it takes, or only for the seconds of the parameter."""
    sleeper = Sleeper(gateway, Woken(), seconds=getattr(request, "param", GUARD_S))
    await sleeper.sleep()
    yield sleeper
    await sleeper.rooms.close()


impatient = pytest.mark.parametrize("sleeper", [0.3], indirect=True, ids=["impatient"])


async def test_the_first_requests_wait_and_reach_the_instance(sleeper: Sleeper, client: httpx.AsyncClient) -> None:
    waiting = [asyncio.create_task(client.post(PATH, json={"n": number})) for number in range(MAX_WAITING)]
    await until(lambda: sleeper.waker.calls, why="the call that wakes it")
    back_end = await sleeper.wake()

    answers = await asyncio.gather(*waiting)

    assert [answer.status_code for answer in answers] == [200] * MAX_WAITING
    assert back_end.requests == MAX_WAITING


def flags(sink: KeepingSink) -> dict[object, object]:
    known = [row for row in sink.rows.values() if row["role"] == names.PRIMARY_ROLE]
    return {row["prediction_id"]: row["response_flags"] for row in known}


def refusals(answers: Iterable[httpx.Response]) -> dict[object, object]:
    """Return the codes of refused requests by their ids."""
    found: dict[object, object] = {}
    for answer in answers:
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        found[answer.headers[names.PREDICTION_ID]] = answer.headers[names.REASON]
    return found


async def test_what_is_too_many_gets_a_503_with_a_code_that_is_on_record_while_the_others_wait(
    sleeper: Sleeper, client: httpx.AsyncClient
) -> None:
    sink = KeepingSink()

    async with shipping(sleeper.gateway, sink):
        asked = [asyncio.create_task(client.post(PATH, json={})) for _ in range(MAX_WAITING + 2)]
        await until(lambda: sum(task.done() for task in asked) >= 2, why="two refusals")
        codes = refusals(task.result() for task in asked if task.done())
        await sleeper.wake()
        answers = await asyncio.gather(*asked)
        await until(lambda: len(flags(sink)) == len(answers), why="a record of each")

    assert list(codes.values()) == [names.HOLD_FULL] * 2
    assert Counter(answer.status_code for answer in answers) == {200: MAX_WAITING, 503: 2}
    assert {key: flags(sink)[key] for key in codes} == codes


@impatient
async def test_what_waits_too_long_gets_a_503_with_a_code_that_is_on_record(
    sleeper: Sleeper, client: httpx.AsyncClient
) -> None:
    sink = KeepingSink()

    async with shipping(sleeper.gateway, sink):
        answers = await asyncio.gather(*(client.post(PATH, json={}) for _ in range(MAX_WAITING)))
        await until(lambda: len(flags(sink)) == MAX_WAITING, why="a record of each")

    codes = refusals(answers)
    assert set(codes.values()) == {names.HOLD_TIMEOUT}
    assert flags(sink) == codes


@impatient
@pytest.mark.usefixtures("sleeper")
async def test_an_openai_call_that_waits_too_long_is_refused_in_openais_form(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/chat/completions", json={"model": "digits"})

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["error"] == {
        "message": "no instance is ready for the request",
        "type": "server_error",
        "param": None,
        "code": "hold-timeout",
    }


async def test_no_request_is_lost_when_the_last_instance_goes_and_comes_back(
    sleeper: Sleeper, client: httpx.AsyncClient
) -> None:
    await sleeper.wake()
    statuses: list[int] = []

    is_over = asyncio.Event()

    async def load() -> None:
        while not is_over.is_set():
            statuses.append((await client.post(PATH, json={})).status_code)

    loading = [asyncio.create_task(load()) for _ in range(2)]
    for turn in range(1, 4):
        await until(lambda wanted=50 * turn: len(statuses) > wanted, why="answers of an instance")
        called = sleeper.waker.calls
        sleeper.tell("instance-1", InstanceWithdrawn(endpoint_id=ENDPOINT, deployment_id=DEPLOYMENT, reason="scaled"))
        await until(lambda called=called: sleeper.waker.calls > called, why="a request that waits")
        await sleeper.wake()
    await until(lambda: len(statuses) > 200, why="answers of the last instance")
    is_over.set()
    await asyncio.gather(*loading)

    assert set(statuses) == {200}


async def infer_over_grpc(gateway: Gateway) -> int:
    """Return the label of the first digit."""
    tensor = InferInput("pixels", list(PIXELS.shape), "FP32")
    tensor.set_data_from_numpy(PIXELS)
    headers = {"authorization": f"Bearer {gateway.tokens.mint()}"}
    async with InferenceServerClient(f"127.0.0.1:{gateway.ports.gateway}") as triton:
        answer = await triton.infer("digits", [tensor], headers=headers)
    return int(answer.as_numpy("label")[0])


@impatient
@pytest.mark.usefixtures("sleeper")
async def test_grpc_that_waits_too_long_is_refused_too(gateway: Gateway) -> None:
    with pytest.raises(InferenceServerException, match="hold-timeout"):
        await infer_over_grpc(gateway)


async def test_grpc_waits_alike(sleeper: Sleeper, gateway: Gateway, tmp_path: Path) -> None:
    manifest = write_model(tmp_path / "model", artifact_format="onnx")
    write_manifest(tmp_path / "model", msgspec.structs.replace(manifest, deployment_id=DEPLOYMENT))
    with ExitStack() as stack:
        engine = await asyncio.to_thread(stack.enter_context, running(tmp_path))
        waiting = asyncio.create_task(infer_over_grpc(gateway))
        await until(lambda: sleeper.waker.calls, why="the call that wakes it")
        sleeper.tell("instance-1", announced(ENDPOINT, DEPLOYMENT, port=int(engine.url.rsplit(":", 1)[1])))

        assert await waiting == int(trained().predict(PIXELS)[0])


async def test_a_room_that_cannot_be_opened_holds_nothing_else_back_and_opens_later(
    gateway: Gateway, client: httpx.AsyncClient
) -> None:
    sleeper = Sleeper(gateway, Woken(), seconds=GUARD_S)
    in_the_way = gateway.folder / names.HOLD
    in_the_way.write_text("a file where the folder of the rooms should be")

    await sleeper.sleep()
    refused = await client.post(PATH, json={})
    in_the_way.unlink()
    await until(lambda: DEPLOYMENT in sleeper.rooms, why="a room")
    waiting = asyncio.create_task(client.post(PATH, json={}))
    await until(lambda: sleeper.waker.calls, why="the call that wakes it")
    await sleeper.wake()

    assert refused.status_code == 503
    assert (await waiting).status_code == 200
    await sleeper.rooms.close()


async def test_a_room_accepts_again_after_it_could_not(
    sleeper: Sleeper, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, failures = asyncio.get_running_loop(), 0
    accept = loop.sock_accept

    async def without_files(listening: socket.socket) -> object:
        nonlocal failures
        if failures < 3:
            failures += 1
            raise OSError(errno.EMFILE, "Too many open files")
        return await accept(listening)

    # What waits in `sock_accept` now takes the first one; the next accept fails.
    monkeypatch.setattr(loop, "sock_accept", without_files)
    waiting = [asyncio.create_task(client.post(PATH, json={})) for _ in range(3)]
    await until(lambda: failures == 3, why="failures")
    await until(lambda: sleeper.waker.calls, why="the call that wakes it")
    await sleeper.wake()

    assert [answer.status_code for answer in await asyncio.gather(*waiting)] == [200] * 3
