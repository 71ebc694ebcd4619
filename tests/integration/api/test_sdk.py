"""The SDK, synchronous and asynchronous, against the real API."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from infra.ports import free_port
from rollbook import AsyncRollbook, Conflict, Denied, NotFound, Problem, Rollbook, RollbookError, Unreachable
from rollbook.resources import CapturePolicy, Endpoint, FailoverPolicy, ScalingPolicy
from tests.support.api import RunningApi, done, running_api
from tests.support.digits import SIGNATURE, model_bytes

PLAIN_SIGNATURE = msgspec.to_builtins(SIGNATURE)
Client = Rollbook | AsyncRollbook


async def called(method: Callable[..., Any], *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - any answer
    """Call a method of either client without holding the loop on which the API runs."""
    if inspect.iscoroutinefunction(method):
        return await method(*arguments, **named)
    return await asyncio.to_thread(method, *arguments, **named)


async def announce(api: RunningApi, endpoint: Endpoint) -> None:
    """Let each deployment have one instance, as an agent would."""
    for number, deployment in enumerate(endpoint.deployments):
        body = {"endpoint_id": endpoint.id, "deployment_id": deployment.id, "port": 9_000 + number}
        names = dict.fromkeys(("agent_id", "boot_id", "host", "region", "zone"), f"one-{number}")
        await done(api.service.post("/v1/instances", json=body | names))


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[RunningApi]:
    async with running_api(tmp_path / "api") as api:
        yield api


@pytest.fixture(params=["sync", "async"])
async def client(request: pytest.FixtureRequest, api: RunningApi) -> AsyncIterator[Client]:
    token = (api.data_dir / "secrets" / "admin.token").read_text()
    if request.param == "sync":
        with Rollbook(api.url, token=token) as client:
            yield client
    else:
        async with AsyncRollbook(api.url, token=token) as client:
            yield client


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "model.skops"
    path.write_bytes(model_bytes("skops"))
    return path


async def test_a_scaling_policy_is_set_and_taken_away(api: RunningApi, client: Client) -> None:
    stage = await api.stage()
    policy = ScalingPolicy(max_replicas=2, in_flight=4.0)

    await called(client.endpoints.set_scaling_policy, "digits", policy, reason="test")
    chosen = await called(client.endpoints.scaling, "digits")
    await called(client.endpoints.set_scaling_policy, "digits", None, reason="test")
    none = await called(client.endpoints.scaling, "digits")

    assert (chosen.policy, none.policy) == (policy, None)
    assert [one.deployment_id for one in chosen.deployments] == [stage.deployment_id]


async def test_a_model_goes_from_its_name_to_a_rollout(api: RunningApi, client: Client, model_file: Path) -> None:
    model = await called(client.models.register, "digits", description="Handwritten", tags={"team": "vision"})
    versions = [
        await called(client.versions.register, "digits", model_file, signature=PLAIN_SIGNATURE, metrics={"accuracy": a})
        for a in (0.8, 0.9)
    ]
    endpoint = await called(client.endpoints.create, "digits", version=versions[0].reference)
    await announce(api, endpoint)
    rollout = await called(client.rollouts.start, "digits", versions[1].reference)
    waiting = asyncio.create_task(called(client.rollout(rollout.id).wait, timeout_s=60.0))
    aborted = await called(client.rollouts.abort, rollout.id, reason="seen enough")

    aliased = await called(client.models.set_alias, "digits", "champion", 2)
    plain = await called(client.models.remove_alias, "digits", "champion", reason="it is done")

    shown = await called(client.models.get, "digits")
    assert (shown.id, shown.tags, shown.latest_version) == (model.id, {"team": "vision"}, 2)
    assert (aliased.aliases, plain.aliases) == ({"champion": 2}, {})
    assert [one.id for one in await called(client.models.list, query="digi")] == [model.id]
    assert [one.id for one in await called(client.versions.list, "digits")] == [one.id for one in versions]
    assert (await called(client.versions.get, "digits/2")).id == versions[1].id
    assert versions[1].metrics == {"accuracy": 0.9}
    assert endpoint.allocations[0].weight_percent == 100
    assert [one.name for one in await called(client.endpoints.list)] == ["digits"]
    assert rollout.baseline.number == 1
    assert (aborted.phase, aborted.reason) == ("aborted", "seen enough")
    assert (await waiting).phase == "aborted"
    assert await called(client.rollouts.list, endpoint="digits", active=True) == []


async def test_traffic_is_split_by_hand(api: RunningApi, client: Client, model_file: Path) -> None:
    await called(client.models.register, "digits")
    for _ in range(2):
        await called(client.versions.register, "digits", model_file, signature=PLAIN_SIGNATURE)
    endpoint = await called(client.endpoints.create, "digits", version="digits/1")
    second = await called(client.endpoints.deploy, "digits", "digits/2")

    await announce(api, await called(client.endpoints.get, "digits"))
    weights = {endpoint.deployments[0].id: 60.0, second.id: 40.0}

    split = await called(client.endpoints.set_traffic, "digits", weights, reason="half")
    back = await called(client.endpoints.rollback, "digits", reason="no")

    assert {one.deployment_id: one.weight_percent for one in split.allocations} == weights
    assert [one.weight_percent for one in back.allocations] == [100]
    assert back.epoch > split.epoch > endpoint.epoch


async def test_a_capture_policy_is_chosen(api: RunningApi, client: Client) -> None:
    endpoint = await called(client.endpoints.create, "digits")
    policy = CapturePolicy(inputs=[], sampling_rate=0.5, retention_days=2)

    changed = await called(
        client.endpoints.set_capture_policy, "digits", policy, reason="less", if_match=endpoint.stream_version
    )
    shown = await called(client.endpoints.get, "digits")
    document = (await api.documents("endpoint"))[endpoint.id]
    with pytest.raises(Conflict):
        await called(client.endpoints.set_capture_policy, "digits", CapturePolicy(), reason="x", if_match=1)

    assert (endpoint.capture, endpoint.capture_version) == (CapturePolicy(), 0)
    assert (changed.capture, changed.capture_version) == (shown.capture, shown.capture_version) == (policy, 2)
    assert (document["capture"]["sampling_rate"], document["capture_version"]) == (0.5, 2)


async def test_a_failover_policy_is_chosen_and_failovers_are_shown(
    api: RunningApi, client: Client, model_file: Path
) -> None:
    await called(client.models.register, "digits")
    await called(client.versions.register, "digits", model_file, signature=PLAIN_SIGNATURE)
    endpoint = await called(client.endpoints.create, "digits", version="digits/1", regions=["eu", "us"])
    (deployment,) = endpoint.deployments
    policy = FailoverPolicy(backup_deployment_id="digits/1", backup_regions=["us"], max_retries=3)
    report = {
        "region": "eu",
        "deployment_id": deployment.id,
        "from_region": "eu",
        "to_deployment_id": deployment.id,
        "to_region": "us",
        "code": "no-instance",
        "reason": "none is announced",
        "observed_at": "2026-01-02T03:04:05.678Z",
    }

    changed = await called(client.endpoints.set_failover_policy, "digits", policy, reason="a region may be lost")
    moved = await called(client.endpoints.place, "digits", deployment.id, ["eu"], reason="cheaper")
    for _ in range(2):
        began = await done(api.service.post(f"/v1/endpoints/{endpoint.id}/failover-started", json=report))
    shown = await called(client.endpoints.get, "digits")
    served = (await api.documents("endpoint"))[endpoint.id]
    end = {name: report[name] for name in ("region", "deployment_id", "reason", "observed_at")}
    ended = await done(api.service.post(f"/v1/endpoints/{endpoint.id}/failover-ended", json=end))

    assert deployment.regions == ["eu", "us"]
    assert changed.failover == FailoverPolicy(backup_deployment_id=deployment.id, backup_regions=["us"], max_retries=3)
    assert moved.deployments[0].regions == ["eu"]
    assert began["stream_version"] == moved.stream_version + 1
    assert [(each.region, each.to_region, each.code) for each in shown.failovers] == [("eu", "us", "no-instance")]
    assert served["deployments"][0]["regions"] == ["eu"]
    assert (served["failover"]["backup_regions"], served["failovers"][0]["to_region"]) == (["us"], "us")
    assert ended["failovers"] == []


async def test_the_log_is_read(client: Client) -> None:
    model = await called(client.models.register, "digits")

    events = await called(client.events, stream=model.id)
    checkpoint = await called(client.log.checkpoint)
    minted = await called(client.inference_tokens.mint, ["*"], ttl_s=60)

    assert [one.event["type"] for one in events] == ["registry.ModelRegistered.v1"]
    assert events[0].position == model.position
    assert checkpoint.tree_size >= model.position
    assert minted.token.count(".") == 2


@pytest.mark.parametrize("name", ["a/b", "a?b=c", "..", "ä ö", "%2F"])
async def test_a_name_with_strange_signs_reaches_no_other_route(client: Client, name: str) -> None:
    with pytest.raises(RollbookError):
        await called(client.models.get, name)


async def test_refusals_are_typed_and_tell_the_field(client: Client) -> None:
    await called(client.models.register, "digits")

    with pytest.raises(Conflict, match="digits"):
        await called(client.models.register, "digits")
    with pytest.raises(NotFound):
        await called(client.models.get, "nobody")
    with pytest.raises(Problem) as refusal:
        await called(client.models.register, "")
    with pytest.raises(RollbookError, match="write model/number"):
        await called(client.versions.get, "digits")

    assert refusal.value.document.field == "name"
    assert refusal.value.document.remedy


async def test_a_weak_token_is_denied(api: RunningApi) -> None:
    async with AsyncRollbook(api.url, token="rbk_nonsense") as stranger:
        with pytest.raises(Denied):
            await stranger.models.list()


@pytest.mark.parametrize(
    ("name", "remedy"), [("model.bin", "pass artifact_format"), ("model.pickle", "save the model with skops.io.dump")]
)
async def test_a_file_without_a_known_ending_is_refused_before_it_is_sent(
    client: Client, tmp_path: Path, name: str, remedy: str
) -> None:
    path = tmp_path / name
    path.write_bytes(b"x")
    await called(client.models.register, "digits")

    with pytest.raises(RollbookError, match=remedy):
        await called(client.versions.register, "digits", path, signature=PLAIN_SIGNATURE)


@pytest.mark.parametrize("kind", [Rollbook, AsyncRollbook])
async def test_a_server_that_is_away_is_told_with_its_address(kind: type[Client]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    client = kind(url)

    with pytest.raises(Unreachable, match=url):
        await called(client.models.list)

    await called(client.aclose if isinstance(client, AsyncRollbook) else client.close)


@pytest.mark.parametrize("content", [b"<html>Welcome</html>", b'{"other": "service"}', b"\xff", b'{"title": "\xff"}'])
@pytest.mark.parametrize("status", [b"200", b"500"])
async def test_an_answer_of_another_server_is_told_as_such(content: bytes, status: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 %s \r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % (status, len(content)) + content
        )
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server, AsyncRollbook(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as client:
        with pytest.raises(RollbookError, match="does not answer as Rollbook's API does" if status == b"200" else None):
            await client.models.list()


async def test_a_command_whose_answer_was_lost_has_one_effect(api: RunningApi) -> None:
    token = (api.data_dir / "secrets" / "admin.token").read_text()
    async with _losing_first_answer(api) as url, AsyncRollbook(url, token=token) as client:
        model = await client.models.register("digits")

    events = (await api.admin.get("/v1/events", params={"stream": model.id})).json()["items"]
    assert [one["event"]["type"] for one in events] == ["registry.ModelRegistered.v1"]


class LosingProxy:
    """Passes everything on to the API, and cuts the first connection when its answer comes."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._is_first = True
        self._serving: set[asyncio.Task[None]] = set()

    async def end(self) -> None:
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        loses, self._is_first = self._is_first, False
        answers, api = await asyncio.open_connection("127.0.0.1", self._port)
        passing = asyncio.create_task(_pass_on(reader, api))
        try:
            first = await answers.read(65_536)
            if not loses:
                writer.write(first)
                await _pass_on(answers, writer)
        finally:
            passing.cancel()
            for one in (api, writer):
                one.transport.abort()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while content := await reader.read(65_536):
        writer.write(content)
        await writer.drain()


@asynccontextmanager
async def _losing_first_answer(api: RunningApi) -> AsyncIterator[str]:
    proxy = LosingProxy(int(api.url.rsplit(":", 1)[1]))
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await proxy.end()
