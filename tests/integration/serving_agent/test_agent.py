"""The agent as a process, with real engines, a real broker and a control plane of a few routes."""

import hashlib
import io
import os
import pickle
import re
import signal
import zipfile
from pathlib import Path

import httpx
import msgspec
import psutil
import pyarrow as pa
import pytest
import skops.io
from sklearn.preprocessing import FunctionTransformer

from infra.ports import free_port
from schemas.events.endpoints import CapturePolicy, CapturePolicyChanged, DeploymentRemoved
from schemas.events.registry import Artifact
from tests.integration.serving_agent.conftest import AgentHarness, Command, batches_until_closing, eventually
from tests.support.digits import Served, model_bytes, row_request, served
from tests.support.plain_http import NO_AUTHORITIES
from tests.support.routing import announced

ANNOUNCE = "/v1/instances"
WITHDRAW = "/v1/instances/[^/]+/withdraw"
FAIL = "/v1/instances/[^/]+/fail"


def _told(harness: AgentHarness, pattern: str, count: int = 1) -> Command:
    """Wait for the command with this number among those whose path fits."""
    control_plane = harness.control_plane
    eventually(lambda: len(control_plane.told(pattern)) >= count, what=f"{count} × {pattern}", log=harness.log)
    return control_plane.told(pattern)[count - 1]


def _announced(harness: AgentHarness, count: int = 1) -> Command:
    return _told(harness, ANNOUNCE, count)


def _withdrawn(harness: AgentHarness) -> Command:
    return _told(harness, WITHDRAW)


def _failed(harness: AgentHarness) -> Command:
    return _told(harness, FAIL)


def _predict(announcement: Command, prediction_id: str) -> httpx.Response:
    url = f"http://{announcement.body['host']}:{announcement.body['port']}/v2/models/digits/infer"
    return httpx.post(
        url, json=row_request(), headers={"x-prediction-id": prediction_id}, timeout=180, verify=NO_AUTHORITIES
    )


def _pid(announcement: Command) -> int:
    url = f"http://{announcement.body['host']}:{announcement.body['port']}/rollbook/instance"
    return int(httpx.get(url, timeout=180, verify=NO_AUTHORITIES).json()["pid"])


def _is_running(pid: int) -> bool:
    return psutil.pid_exists(pid) and bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)


def _model(content: bytes) -> Served:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    artifact = Artifact(digest=digest, size_bytes=len(content), format="skops")
    return Served(content=content, artifact=artifact, golden=served("skops").golden)


async def test_an_engine_that_is_killed_comes_back_at_the_same_port(harness: AgentHarness) -> None:
    harness.start()
    await harness.publish(harness.deployment("a", served("onnx")))
    first = _announced(harness)
    assert _predict(first, "before").status_code == 200

    os.kill(_pid(first), signal.SIGKILL)

    second = _announced(harness, 2)
    reason = _withdrawn(harness).body["reason"]
    assert re.fullmatch(r"the engine's process ended; its log engine-\S+\.log ends with: .*instance_ready", reason)
    assert second.body["port"] == first.body["port"]
    assert second.body["instance_id"] == first.body["instance_id"]
    assert second.body["boot_id"] != first.body["boot_id"]
    assert _predict(second, "after").status_code == 200
    shipped = await batches_until_closing(harness.node, first.body["boot_id"])
    assert [headers.batch for headers, _ in shipped] == list(range(len(shipped)))


async def test_engines_outlive_a_killed_agent_and_are_adopted(harness: AgentHarness) -> None:
    harness.want(harness.deployment("a", served("onnx")))
    harness.start()
    first = _announced(harness)
    pid = _pid(first)
    fork_server = psutil.Process(pid).ppid()

    harness.kill()
    eventually(lambda: not _is_running(fork_server), what="the fork server's end", log=harness.log)
    assert _predict(first, "while-away").status_code == 200
    harness.start()

    again = _announced(harness, 2)
    assert again.body == first.body
    assert _pid(again) == pid
    assert harness.control_plane.told(WITHDRAW) == []
    os.kill(pid, signal.SIGKILL)
    assert _announced(harness, 3).body["boot_id"] != first.body["boot_id"]
    shipped = await batches_until_closing(harness.node, first.body["boot_id"])
    rows = [row for _, value in shipped for row in pa.ipc.open_stream(value).read_all().to_pylist()]
    assert [row["prediction_id"] for row in rows] == ["while-away"]


async def test_a_removed_deployment_is_withdrawn_drained_and_leaves_nothing(harness: AgentHarness) -> None:
    harness.start()
    await harness.publish(harness.deployment("a", served("onnx")))
    announcement = _announced(harness)
    pid = _pid(announcement)
    _predict(announcement, "last")

    await harness.publish(DeploymentRemoved(deployment_id="deployment-a", reason="test"))

    _withdrawn(harness)
    eventually(lambda: not _is_running(pid), what="end of the engine")
    models = harness.directory / "models"
    eventually(lambda: not [*models.glob("deployment-*"), *models.glob(".artifacts/*")], what="clean models directory")
    assert harness.records() == []
    shipped = await batches_until_closing(harness.node, announcement.body["boot_id"])
    rows = [row for _, value in shipped for row in pa.ipc.open_stream(value).read_all().to_pylist()]
    assert [(row["prediction_id"], row["instance_id"]) for row in rows] == [("last", announcement.body["instance_id"])]
    assert sum(headers.rows for headers, _ in shipped) == 1


async def test_a_stopped_agent_withdraws_and_stops_all_it_started(harness: AgentHarness) -> None:
    added = harness.deployment("a", served("onnx"))
    harness.want(msgspec.structs.replace(added, replicas=2))
    harness.start()
    pids = [_pid(_announced(harness, number)) for number in (1, 2)]
    ports = {command.body["port"] for command in harness.control_plane.told(ANNOUNCE)}

    assert harness.stop() == 0, harness.log()

    assert len(ports) == 2
    assert len(harness.control_plane.told(WITHDRAW)) == 2
    assert not any(map(_is_running, pids))
    assert [*(harness.directory / "spool").iterdir(), *(harness.directory / "frames").iterdir()] == []


async def test_a_capture_policy_on_the_log_reaches_a_running_engine(harness: AgentHarness) -> None:
    harness.start()
    await harness.publish(harness.deployment("a", served("onnx")))
    announcement = _announced(harness)
    pid = _pid(announcement)
    _predict(announcement, "before")
    spool = harness.directory / "frames" / str(announcement.body["boot_id"])
    # What is answered is captured a moment later, under the policy of that moment.
    eventually(lambda: any(b"before" in each.read_bytes() for each in spool.glob("*")), what="captured")

    policy = CapturePolicy(inputs=(), retention_days=3)
    await harness.publish(CapturePolicyChanged(policy=policy, reason="less"))
    log = next((harness.root / "data" / "logs").glob("engine-*"))
    eventually(lambda: "capture_policy_followed" in log.read_text(), what="policy in force", log=log.read_text)
    _predict(announcement, "after")

    assert _pid(announcement) == pid
    await harness.publish(DeploymentRemoved(deployment_id="deployment-a", reason="test"))
    shipped = await batches_until_closing(harness.node, announcement.body["boot_id"])
    rows = [row for _, value in shipped for row in pa.ipc.open_stream(value).read_all().to_pylist()]
    kept = {row["prediction_id"]: (row["inputs"], row["policy_version"], row["retention_days"]) for row in rows}
    assert kept["after"] == ("{}", 3, 3)
    assert (kept["before"][0] != "{}", *kept["before"][1:]) == (True, 0, 7)
    assert (shipped[-1][0].seen, shipped[-1][0].unsampled) == (2, 0)


async def test_what_happened_while_no_agent_ran_is_caught_up_with(harness: AgentHarness) -> None:
    harness.want(harness.deployment("a", served("onnx")))
    harness.start()
    announcement = _announced(harness)
    pid = _pid(announcement)
    harness.kill()
    await harness.publish(DeploymentRemoved(deployment_id="deployment-a", reason="test"))
    ghost = msgspec.structs.replace(announced("endpoint-1", "deployment-x"), agent_id="local")
    await harness.publish(ghost, stream="instance-ghost")

    harness.start()

    eventually(lambda: not _is_running(pid), what="end of the engine")
    gone = {f"/v1/instances/{each}/withdraw" for each in ("instance-ghost", announcement.body["instance_id"])}
    eventually(
        lambda: gone <= {each.path for each in harness.control_plane.told("/v1/instances/.*/withdraw")},
        what="withdrawal of everything announced",
    )


async def test_engines_are_kept_by_the_documents_on_disk_while_kafka_is_unavailable(harness: AgentHarness) -> None:
    harness.want(harness.deployment("a", served("onnx")))
    harness.start()
    pid = _pid(_announced(harness))
    harness.kill()

    harness.begin(KAFKA_BOOTSTRAP=f"127.0.0.1:{free_port()}")
    os.kill(pid, signal.SIGKILL)

    again = _announced(harness, 2)
    assert (_pid(again) != pid, again.body["deployment_id"]) == (True, "deployment-a")


def _with_member(name: str) -> bytes:
    buffer = io.BytesIO(model_bytes("skops"))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(name, b"x")
    return buffer.getvalue()


class _Touching:
    def __init__(self, witness: Path) -> None:
        self._witness = witness

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self._witness}",)


def touching(values: object) -> object:
    Path("/tmp/never").touch()  # noqa: S108 - stands in a model that must not run
    return values


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("pickle", "artifact-malformed"),
        ("pickle in the archive", "artifact-malformed"),
        ("path out of the archive", "artifact-malformed"),
        ("digest", "artifact-digest-differs"),
        ("function", "artifact-untrusted"),
    ],
)
async def test_a_model_that_is_not_to_be_trusted_is_reported_and_never_run(
    harness: AgentHarness, tmp_path: Path, kind: str, code: str
) -> None:
    witness = tmp_path / "witness"
    evil = pickle.dumps(_Touching(witness))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("schema.json", evil)
    contents = {
        "pickle": evil,
        "pickle in the archive": buffer.getvalue(),
        "path out of the archive": _with_member("../../../evil"),
        "digest": model_bytes("skops"),
        "function": skops.io.dumps(FunctionTransformer(touching)),
    }
    model = _model(contents[kind])
    harness.want(harness.deployment("a", model, content=model.content[:-1] + b"!" if kind == "digest" else None))
    harness.start()

    failure = _failed(harness)

    assert failure.body["code"] == code
    assert failure.body["reason"]
    assert not witness.exists()
    # Only the check of types needs skops itself, and with it a process; no other case comes so far.
    assert bool(list((harness.root / "data" / "logs").glob("engine-*"))) == (kind == "function")
    assert harness.control_plane.told(ANNOUNCE) == []
    assert harness.stop() == 0


async def test_a_model_that_answers_its_golden_input_wrongly_is_never_announced(harness: AgentHarness) -> None:
    added = harness.deployment("a", served("onnx"))
    assert added.golden is not None
    wrong = msgspec.structs.replace(added.golden, outputs={"label": (11,)})
    harness.want(msgspec.structs.replace(added, golden=wrong))
    harness.start()

    failure = _failed(harness)

    assert failure.body["code"] == "golden-answer-wrong"
    assert "11" in failure.body["reason"]
    assert harness.control_plane.told(ANNOUNCE) == []
    assert [record["pid"] for record in harness.records()] == [0]


async def test_a_download_that_breaks_off_is_resumed(harness: AgentHarness) -> None:
    harness.control_plane.cut_next_download_at = 1_000
    harness.want(harness.deployment("a", served("onnx")))
    harness.start()

    _announced(harness)

    assert harness.control_plane.ranges == ["", "bytes=1000-"]


async def test_a_command_that_got_no_answer_is_repeated_under_its_key(harness: AgentHarness) -> None:
    harness.control_plane.refuse_next = 2
    harness.want(harness.deployment("a", served("onnx")))
    harness.start()

    _announced(harness, 3)

    announcements = harness.control_plane.told(ANNOUNCE)
    assert len({command.key for command in announcements}) == 1
    assert len(announcements) == 3
