"""The command line against the real API: what it takes, and what a person sees."""

import asyncio
import codecs
import json
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.api import RunningApi, Stage, done
from tests.support.command_line import CommandLine, Typed
from tests.support.digits import SIGNATURE, model_bytes, served

pytestmark = pytest.mark.asyncio(loop_scope="module")

Type = Callable[..., Coroutine[Any, Any, Typed]]


@pytest.fixture
def typed(api: RunningApi, capsys: pytest.CaptureFixture[str]) -> Type:
    cli = CommandLine(capsys, "--url", api.url, "--data-dir", str(api.data_dir))

    async def typed(*arguments: str) -> Typed:
        # The API runs on the loop of the test.
        return await asyncio.to_thread(cli.type, *arguments)

    return typed


@pytest.fixture
def answered(typed: Type) -> Callable[..., Awaitable[Any]]:
    async def answered(*arguments: str) -> Any:  # noqa: ANN401  any JSON
        done = await typed("--json", *arguments)
        assert done.code == 0, done.err
        return json.loads(done.out)

    return answered


@pytest.fixture
def model_file(tmp_path: Path) -> str:
    (tmp_path / "model.skops").write_bytes(model_bytes("skops"))
    return str(tmp_path / "model.skops")


@pytest.mark.parametrize(
    "name", ["input:0", "serving_default_x:0", "a:FP32:1", "with space", "ä", "in/put", "x=y", ":", "x:"]
)
async def test_a_tensor_has_any_name_that_the_api_takes(
    answered: Callable[..., Awaitable[Any]], stage: Stage, api: RunningApi, model_file: str, name: str
) -> None:
    registered = await answered(
        "version", "register", "digits", model_file, "--input", f"{name}:FP32:-1x64", "--output", f"{name}:INT64:-1,3"
    )
    shown = (await api.admin.get(f"/v1/versions/{registered['id']}")).json()

    assert shown["signature"] == {
        "inputs": [{"name": name, "datatype": "FP32", "shape": [-1, 64]}],
        "outputs": [{"name": name, "datatype": "INT64", "shape": [-1, 3]}],
    }


async def test_a_file_that_tells_its_signature_needs_no_options(
    answered: Callable[..., Awaitable[Any]], typed: Type, stage: Stage, model_file: str
) -> None:
    registered = await answered("version", "register", "digits", model_file)
    renamed = await typed("version", "register", "digits", model_file, "--input", "pixels:FP32:-1x64")

    assert registered["signature"] == {
        "inputs": [{"name": "x", "datatype": "FP64", "shape": [-1, 64], "allows_missing": False, "classes": []}],
        "outputs": [
            {"name": "label", "datatype": "INT64", "shape": [-1], "allows_missing": False, "classes": []},
            {"name": "probabilities", "datatype": "FP64", "shape": [-1, 10], "allows_missing": False, "classes": []},
        ],
    }
    assert registered["inferred"] == ["inputs", "outputs"]
    shown = renamed.out.splitlines()
    assert any(line.split() == ["inputs", "pixels:FP32:-1x64"] for line in shown)
    assert any(line.split() == ["read", "from", "the", "file", "outputs"] for line in shown)


async def test_a_signature_that_the_file_contradicts_is_refused_with_the_options_that_fit(
    typed: Type, stage: Stage, model_file: str
) -> None:
    done = await typed("version", "register", "digits", model_file, "--input", "pixels:FP32:-1x63")

    assert "63 columns" in done.sentence()
    assert "--input pixels:FP64:-1x64 --output label:INT64:-1" in done.sentence()


async def test_an_input_may_have_missing_values(
    answered: Callable[..., Awaitable[Any]], stage: Stage, api: RunningApi, model_file: str
) -> None:
    registered = await answered("version", "register", "digits", model_file, "--input", "x:FP32:-1x64:missing")
    shown = (await api.admin.get(f"/v1/versions/{registered['id']}")).json()

    assert shown["signature"]["inputs"] == [
        {"name": "x", "datatype": "FP32", "shape": [-1, 64], "allows_missing": True}
    ]


@pytest.mark.parametrize(
    "value", ["x", "x:FP32", ":FP32:1", "x:FP32:", "x:FP32:1x", "x:fp32:1", "x:FP32:٣", "x:FP32:1:2"]
)
async def test_an_input_of_another_form_is_refused(typed: Type, stage: Stage, model_file: str, value: str) -> None:
    done = await typed("version", "register", "digits", model_file, "--input", value)

    assert any(part in done.sentence() for part in ("NAME:DATATYPE:SHAPE", "inputs[0].datatype", "is not a data type"))


async def test_a_golden_file_may_begin_with_a_byte_order_mark(
    answered: Callable[..., Awaitable[Any]], stage: Stage, model_file: str, tmp_path: Path
) -> None:
    golden = tmp_path / "golden.json"
    golden.write_bytes(codecs.BOM_UTF8 + msgspec.json.encode(served("skops").golden))
    tensors = [
        part
        for option, side in (("--input", SIGNATURE.inputs), ("--output", SIGNATURE.outputs))
        for one in side
        for part in (option, f"{one.name}:{one.datatype}:{'x'.join(map(str, one.shape))}")
    ]

    registered = await answered("version", "register", "digits", model_file, *tensors, "--golden", str(golden))

    assert registered["model_name"] == "digits"


async def test_a_plan_takes_every_member_and_a_byte_order_mark(
    answered: Callable[..., Awaitable[Any]], stage: Stage, api: RunningApi, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.json"
    members = {"warm_up_timeout_ms": 120_000, "alpha": 0.1, "replicas": 2, "when_inconclusive": "abort"}
    plan.write_bytes(codecs.BOM_UTF8 + json.dumps(members).encode())

    started = await answered("rollout", "start", "digits", "digits/2", "--plan", str(plan))
    kept = (await api.admin.get(f"/v1/rollouts/{started['id']}")).json()
    await answered("rollout", "abort", started["id"], "--reason", "seen")
    other = await answered("rollout", "start", "digits", "digits/2", "--plan", str(plan), "--replicas", "1")
    of_the_option = (await api.admin.get(f"/v1/rollouts/{other['id']}")).json()
    await answered("rollout", "abort", other["id"], "--reason", "seen")

    assert {name: kept[name] for name in members} == members
    assert of_the_option["replicas"] == 1


async def test_no_command_prints_what_only_python_reads(typed: Type, stage: Stage, tmp_path: Path) -> None:
    await typed("traffic", "shadow", "set", "digits", "digits/2", "--reason", "x")
    await typed("capture", "set", "digits", "--hashed", "pixels", "--reason", "x")
    await typed("model", "set-alias", "digits", "champion", "1", "--reason", "x")
    shown = [
        await typed(*command)
        for command in (
            ("model", "register", "another"),
            ("model", "show", "digits"),
            ("model", "list"),
            ("version", "show", "digits/1"),
            ("version", "list", "digits"),
            ("endpoint", "create", "another", "--version", "digits/1", "--region", "eu"),
            ("endpoint", "show", "another"),
            ("endpoint", "show", "digits"),
            ("endpoint", "deploy", "another", "digits/2", "--region", "eu"),
            ("endpoint", "list"),
            ("traffic", "show", "digits"),
            ("capture", "show", "digits"),
            ("scaling", "show", "digits"),
            ("scaling", "why", "digits"),
            ("failover", "show", "digits"),
            ("traffic", "shadow", "remove", "digits", "--reason", "x"),
            ("rollout", "start", "digits", "digits/2"),
            ("rollout", "list"),
            ("tokens", "keys"),
            ("tokens", "revoke", "some-token", "--reason", "x"),
        )
    ]
    rollout_id = next(word for word in shown[-4].out.split() if word.startswith("rollout-"))
    shown.append(await typed("rollout", "show", rollout_id))
    await typed("rollout", "abort", rollout_id, "--reason", "seen")

    for one in shown:
        assert (one.code, one.err) == (0, "")
        assert not any(sign in one.out for sign in ("{", "}", "None", "True", "False", "()", "['")), one.out


async def test_a_failed_deployment_is_shown_with_its_reason(typed: Type, stage: Stage, api: RunningApi) -> None:
    created = (await api.admin.post("/v1/endpoints", json={"name": "failing", "version": "digits/1"})).json()
    failure = {
        "endpoint_id": created["id"],
        "deployment_id": created["deployments"][0]["id"],
        "agent_id": "one",
        "code": "golden-mismatch",
        "reason": "the model has no output 'predict'",
    }
    instance = "instance-01a206c5-70a8-78b3-bcf5-1a42e5e0d68e"
    assert (await api.service.post(f"/v1/instances/{instance}/fail", json=failure)).is_success

    shown = await typed("endpoint", "show", "failing")
    answer = (await api.admin.get("/v1/endpoints/failing")).json()

    assert answer["deployments"][0]["failure"] == "the model has no output 'predict' (golden-mismatch)"
    assert "the model has no output 'predict' (golden-mismatch)" in shown.out
    assert "failed" in shown.out


async def test_an_endpoint_is_waited_for_until_a_gateway_routes_to_it(
    api: RunningApi, typed: Type, stage: Stage
) -> None:
    creating = asyncio.create_task(typed("--json", "endpoint", "create", "awaited", "--version", "digits/1", "--wait"))
    endpoint = await _created(api, "awaited")
    await done(api.service.post("/v1/instances", json=_instance(endpoint, port=9_001)))
    epoch, at = endpoint["epoch"], endpoint["created_at"]
    applied = {"epoch": epoch, "region": "one", "gateway_id": "one", "applied_at": at}
    await done(api.service.post("/v1/endpoints/awaited/applied", json=applied))

    answered = await creating

    assert (answered.code, json.loads(answered.out)["applied"][0]["epoch"]) == (0, epoch), answered.err
    assert "waiting: digits/1 is starting, 0 of 1 ready" in answered.err


async def test_an_endpoint_that_can_not_be_served_ends_the_wait_with_the_reason(
    api: RunningApi, typed: Type, stage: Stage
) -> None:
    creating = asyncio.create_task(typed("endpoint", "create", "hopeless", "--version", "digits/1", "--wait"))
    endpoint = await _created(api, "hopeless")
    failure = {
        "endpoint_id": endpoint["id"],
        "deployment_id": endpoint["deployments"][0]["id"],
        "agent_id": "one",
        "code": "engine-died",
        "reason": "the engine ended before it was ready; its log engine.log ends with: no such library",
    }
    await done(api.service.post("/v1/instances/instance-01900000-0000-7000-8000-000000000001/fail", json=failure))

    answered = await creating

    said = f"digits/1 cannot be served by hopeless: {failure['reason']} (engine-died)"
    assert (answered.code, answered.err.splitlines()[-1], answered.out) == (1, said, "")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("engine-died", "the golden input was not answered: ReadError(''); its log engine-a-0.log ends with: {lines}"),
        ("golden-answer-wrong", "the engine answered 500: sorry; its log engine-a-0.log ends with: {lines}"),
        ("engine-not-started", "the fork server does not answer (bad); its log fork-server.log ends with: {lines}"),
        ("port-taken", "process 7, instance another, answers at port 9001"),
    ],
)
async def test_the_whole_reason_of_a_failure_is_shown(
    api: RunningApi, typed: Type, stage: Stage, code: str, reason: str
) -> None:
    lines = " | ".join(f"line {number} of an engine's last words {'x' * 200}" for number in range(4))
    endpoint = await done(api.admin.post("/v1/endpoints", json={"name": f"shows-{code}", "version": "digits/1"}))
    failure = {
        "endpoint_id": endpoint["id"],
        "deployment_id": endpoint["deployments"][0]["id"],
        "agent_id": "one",
        "code": code,
        "reason": reason.format(lines=lines),
    }
    instance = f"instance-{endpoint['id'].partition('-')[2]}"
    await done(api.service.post(f"/v1/instances/{instance}/fail", json=failure))

    shown = await typed("endpoint", "show", endpoint["name"])
    told = (await done(api.admin.get(f"/v1/endpoints/{endpoint['name']}")))["deployments"][0]["failure"]

    assert told == f"{failure['reason']} ({code})"
    assert "".join(told.split()) in "".join(shown.out.split())


async def test_a_rollout_is_waited_for_until_it_is_over(api: RunningApi, typed: Type, stage: Stage) -> None:
    endpoint = await done(api.admin.post("/v1/endpoints", json={"name": "moving", "version": "digits/1"}))
    await done(api.service.post("/v1/instances", json=_instance(endpoint, port=9_002)))
    starting = asyncio.create_task(typed("rollout", "start", "moving", "digits/2", "--wait"))
    rollout = await _active_rollout(api, "moving")
    report = {"ready_instances": 0, "elapsed_ms": 1, "failure": "engine-died: its log ends with: no such library"}
    await done(api.service.post(f"/v1/rollouts/{rollout}/warm-up", json=report))

    answered = await starting

    why = "the candidate cannot serve. engine-died: its log ends with: no such library"
    said = f"aborted        0 %  Aborted before it got any traffic: {why}"
    assert (answered.code, answered.out.splitlines()[-1]) == (2, said)


async def _created(api: RunningApi, name: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while not (answer := await api.admin.get(f"/v1/endpoints/{name}")).is_success:
            await asyncio.sleep(0.02)
    return dict(answer.json())


async def _active_rollout(api: RunningApi, endpoint: str) -> str:
    async with asyncio.timeout(60):
        while not (rollout := (await api.admin.get(f"/v1/endpoints/{endpoint}")).json()["active_rollout_id"]):
            await asyncio.sleep(0.02)
    return str(rollout)


def _instance(endpoint: dict[str, Any], *, port: int) -> dict[str, Any]:
    return {
        "endpoint_id": endpoint["id"],
        "deployment_id": endpoint["deployments"][0]["id"],
        **dict.fromkeys(("agent_id", "boot_id", "host", "region", "zone"), "one"),
        "port": port,
    }
