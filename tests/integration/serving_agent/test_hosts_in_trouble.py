"""The agent on a host that lacks something: room on the disk, time to start an engine, or vLLM's environment."""

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest

from benchmarks.replaying_engine import Replay, Token, write_model, write_program
from schemas.events.endpoints import DeploymentAdded
from schemas.events.registry import Artifact
from tests.integration.serving_agent.conftest import AgentHarness, Command, eventually
from tests.support.digits import row_request, served
from tests.support.plain_http import NO_AUTHORITIES

pytestmark = pytest.mark.timeout(1_200)
ANNOUNCE = "/v1/instances"
FAIL = "/v1/instances/[^/]+/fail"
WITHDRAW = "/v1/instances/[^/]+/withdraw"
DISK_BYTES = 8 * 1024**2


@pytest.fixture
def small_disk(harness: AgentHarness) -> Iterator[Path]:
    """Give the agent's own directory a disk of a few megabytes."""
    harness.directory.mkdir(parents=True)
    options = ["-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(harness.directory)]
    if subprocess.run(["mount", *options], check=False, capture_output=True).returncode:
        pytest.skip("only root may make a small disk")
    yield harness.directory
    harness.clean_up()
    subprocess.run(["umount", "--lazy", str(harness.directory)], check=True)


def fill(disk: Path) -> Path:
    """Leave no byte free."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4_096))
        except OSError:
            return ballast


def told(harness: AgentHarness, path: str, deployment: str) -> list[Command]:
    commands = harness.control_plane.told(path)
    if path == ANNOUNCE:
        return [each for each in commands if each.body["deployment_id"] == deployment]
    return [each for each in commands if each.body.get("deployment_id", deployment) == deployment]


async def test_a_full_disk_is_told_the_running_engine_goes_on_and_the_next_starts_once_there_is_room(
    harness: AgentHarness, small_disk: Path
) -> None:
    harness.start()
    await harness.publish(harness.deployment("a", served("onnx")))
    eventually(lambda: bool(told(harness, ANNOUNCE, "deployment-a")), what="the first", log=harness.log)
    first = told(harness, ANNOUNCE, "deployment-a")[0]
    ballast = fill(small_disk)

    await harness.publish(harness.deployment("b", served("skops")))

    eventually(lambda: bool(harness.control_plane.told(FAIL)), what="the failure", log=harness.log)
    failure = harness.control_plane.told(FAIL)[0]
    assert failure.body["code"] == "disk-full", failure
    url = f"http://{first.body['host']}:{first.body['port']}/v2/models/digits/infer"
    for number in range(50):
        answer = httpx.post(
            url, json=row_request(), headers={"x-prediction-id": f"p-{number}"}, timeout=180, verify=NO_AUTHORITIES
        )
        assert answer.status_code == 200
    assert told(harness, ANNOUNCE, "deployment-b") == []
    assert harness.process is not None
    assert harness.process.poll() is None, harness.log()

    ballast.unlink()

    eventually(lambda: bool(told(harness, ANNOUNCE, "deployment-b")), what="the second", log=harness.log)
    assert harness.control_plane.told(WITHDRAW) == []


async def test_an_engine_that_is_not_ready_in_time_is_told_and_never_announced(harness: AgentHarness) -> None:
    harness.start(START_DEADLINE_S="0.02")

    await harness.publish(harness.deployment("a", served("skops")))

    eventually(lambda: bool(harness.control_plane.told(FAIL)), what="the failure", log=harness.log)
    (failure, *_) = harness.control_plane.told(FAIL)
    assert (failure.body["code"], "0.02 s" in failure.body["reason"]) == ("never-ready", True)
    assert harness.control_plane.told(ANNOUNCE) == []
    # Each try ended the process that it began.
    assert all(record["pid"] == 0 for record in harness.records()) or len(harness.records()) == 1


async def test_a_host_without_vllm_says_how_to_get_it(harness: AgentHarness) -> None:
    harness.start(VLLM_PYTHON=str(harness.root / "nowhere" / "python"))

    await harness.publish(_language_model(harness))

    eventually(lambda: bool(harness.control_plane.told(FAIL)), what="the failure", log=harness.log)
    (failure, *_) = harness.control_plane.told(FAIL)
    assert failure.body["code"] == "engine-not-installed"
    assert "./task setup:vllm" in failure.body["reason"]
    assert harness.control_plane.told(ANNOUNCE) == []


async def test_an_engine_of_a_language_model_that_never_becomes_ready_is_told_ended_and_harms_no_other(
    harness: AgentHarness,
) -> None:
    python = write_program(harness.root)
    harness.start(VLLM_PYTHON=str(python), VLLM_START_DEADLINE_S="5")
    await harness.publish(harness.deployment("a", served("onnx")))
    eventually(lambda: bool(told(harness, ANNOUNCE, "deployment-a")), what="the first model", log=harness.log)
    first = told(harness, ANNOUNCE, "deployment-a")[0].body
    stuck = write_model(harness.root / "stuck", Replay(tokens=[Token(1.0, " it")], is_ever_ready=False))

    await harness.publish(_language_model(harness, name="b", folder=stuck))

    eventually(lambda: bool(harness.control_plane.told(FAIL)), what="the failure", log=harness.log)
    failure = harness.control_plane.told(FAIL)[0].body
    assert (failure["code"], failure["deployment_id"]) == ("never-ready", "deployment-b")
    assert "not ready after 5 s" in failure["reason"]
    assert told(harness, ANNOUNCE, "deployment-b") == []
    assert harness.control_plane.told(WITHDRAW) == []
    url = f"http://{first['host']}:{first['port']}/v2/models/digits/infer"
    assert (
        httpx.post(
            url, json=row_request(), headers={"x-prediction-id": "p"}, timeout=180, verify=NO_AUTHORITIES
        ).status_code
        == 200
    )

    def is_none_left() -> bool:
        of_b = [record for record in harness.records() if record["slot"]["deployment_id"] == "deployment-b"]
        return all(record["pid"] == 0 for record in of_b)

    # The agent tries again after a pause, so between two tries no process is there.
    eventually(is_none_left, what="the end of its process", log=harness.log)


def _language_model(harness: AgentHarness, *, name: str = "a", folder: Path | None = None) -> DeploymentAdded:
    files = {"config.json": b"{}", "model.safetensors": b"weights", "tokenizer.json": b"{}"}
    if folder is not None:
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
    digests = {path: f"sha256:{hashlib.sha256(content).hexdigest()}" for path, content in files.items()}
    harness.control_plane.artifacts |= {digests[path]: content for path, content in files.items()}
    listed = [{"path": path, "digest": digests[path], "size_bytes": len(files[path])} for path in files]
    index = msgspec.json.encode({"files": listed})
    digest = f"sha256:{hashlib.sha256(index).hexdigest()}"
    harness.control_plane.artifacts[digest] = index
    artifact = Artifact(digest=digest, size_bytes=len(index), format="transformers")
    return msgspec.structs.replace(harness.deployment(name, served("onnx")), artifact=artifact, golden=None)
