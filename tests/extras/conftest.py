"""The whole stack with vLLM in its own environment, serving a model that this run has trained."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rollbook import Rollbook
from tests.support.eventually import eventually
from tests.support.stack import RunningStack, running_stack

ROOT = Path(__file__).parents[2]
TRAINING = ROOT / "clients/demo/rollbook_demo/llm/train_small_llama.py"
STEPS = 120
SERVES_WITHIN_S = 900
SIGNATURE = {
    "inputs": [{"name": "prompt", "datatype": "BYTES", "shape": [-1]}],
    "outputs": [{"name": "completion", "datatype": "BYTES", "shape": [-1]}],
}


class Trained(msgspec.Struct, frozen=True):
    """A model directory and what its training said."""

    directory: Path
    report: dict[str, Any]

    @property
    def golden(self) -> dict[str, Any]:
        prompt, completion = self.report["golden"]["prompt"], self.report["golden"]["completion"]
        given = {"name": "prompt", "datatype": "BYTES", "shape": [1], "data": [prompt]}
        return {"inputs": [given], "outputs": {"completion": [completion]}}


@pytest.fixture(scope="session")
def vllm_python() -> Path:
    python = ROOT / ".venv-vllm" / "bin" / "python"
    assert python.is_file(), "vLLM's environment is missing: ./task setup:vllm lays it"
    return python


@pytest.fixture(scope="session")
def trained(vllm_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    directory = tmp_path_factory.mktemp("trained") / "story"
    command = [str(vllm_python), str(TRAINING), "--out", str(directory), "--steps", str(STEPS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    return Trained(directory, json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    # Two engines and eight streams share two cores, so the longest answer may take minutes.
    settings = {
        "ROLLBOOK_AGENT_VLLM_ADAPTERS": "4",
        "ROLLBOOK_AGENT_VLLM_DRAIN_DEADLINE_S": "240",
        "ROLLBOOK_AGENT_PROBE_TIMEOUT_S": "30",
        # The servers of others are on this machine too.
        "ROLLBOOK_AGENT_EXTERNAL_NETWORKS": "127.0.0.0/8",
    }
    with running_stack(tmp_path_factory.mktemp("stack") / "data", settings=settings) as stack:
        yield stack


@pytest.fixture(scope="session")
def rollbook(stack: RunningStack) -> Iterator[Rollbook]:
    with stack.client() as client:
        yield client


@pytest.fixture(scope="session")
def story(rollbook: Rollbook, trained: Trained) -> str:
    """Register the trained model, serve it at the endpoint `story`, and return the deployment."""
    rollbook.models.register("story")
    metrics = {"held_out_loss": trained.report["held_out_loss"]}
    version = rollbook.versions.register(
        "story", trained.directory, signature=SIGNATURE, golden=trained.golden, metrics=metrics
    )
    assert version.artifact.format == "transformers"
    return serve(rollbook, "story", version.reference)


def serve(rollbook: Rollbook, endpoint: str, version: str) -> str:
    """Create an endpoint on a version, wait until the gateway serves it, and return the deployment."""
    created = rollbook.endpoints.create(endpoint, version=version)

    def is_served() -> bool:
        seen = rollbook.endpoints.get(endpoint)
        assert seen.deployments[0].state != "failed", rollbook.events(stream=None, limit=1_000)[-1]
        applied = rollbook.events(stream=created.id, event_type="endpoints.TrafficApplied.v1", limit=10)
        return seen.deployments[0].state == "ready" and bool(applied)

    eventually(is_served, f"{endpoint} is served", within_s=SERVES_WITHIN_S, poll_s=0.5)
    return created.deployments[0].id
