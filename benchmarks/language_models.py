"""The language models of the benchmarks: a small one in real vLLM, and one that replays what vLLM wrote."""

import json
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from benchmarks.replaying_engine import SIGNATURE, Replay, golden, recorded, write_model, write_program
from rollbook import Rollbook
from rollbook.resources import Deployment

ENDPOINT = "story"
_ROOT = Path(__file__).resolve().parents[1]
PYTHON = _ROOT / ".venv-vllm" / "bin" / "python"
_TRAINING = _ROOT / "clients/demo/rollbook_demo/llm/train_small_llama.py"
# How well it writes says nothing about how fast it does.
_STEPS = 10
_TRAINED_WITHIN_S = 300
_SERVED_WITHIN_S = 300


class LanguageModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model directory, and the settings of a stack that can serve it."""

    directory: Path
    settings: Mapping[str, str] = {}
    golden: dict[str, object] | None = None


def real(folder: Path) -> LanguageModel:
    """Train a small model for vLLM.

    Raises:
        LookupError: vLLM's environment is missing.
    """
    if not PYTHON.is_file():
        raise LookupError("vLLM's environment is missing; run ./task setup:vllm")
    return LanguageModel(directory=trained(folder / "model"))


def replaying(folder: Path, *, speed: float = 1.0) -> LanguageModel:
    """Make a model that replays the recorded stream."""
    replay = Replay(tokens=recorded(speed=speed))
    program = write_program(folder)
    return LanguageModel(
        directory=write_model(folder / "model", replay),
        settings={"ROLLBOOK_AGENT_VLLM_PYTHON": str(program)},
        golden=golden(replay),
    )


def trained(directory: Path, *, steps: int = _STEPS) -> Path:
    """Train a small model into a new directory."""
    command = [str(PYTHON), str(_TRAINING), "--out", str(directory), "--steps", str(steps)]
    subprocess.run(command, check=True, capture_output=True, timeout=_TRAINED_WITHIN_S)
    return directory


def serve(rollbook: Rollbook, model: LanguageModel, *, replicas: int = 1) -> Deployment:
    """Serve a model at the endpoint, and return the deployment once all instances are there."""
    rollbook.models.register(ENDPOINT)
    version = rollbook.versions.register(ENDPOINT, model.directory, signature=SIGNATURE, golden=model.golden)
    rollbook.endpoints.create(ENDPOINT, version=version.reference, replicas=replicas)
    deadline = time.monotonic() + _SERVED_WITHIN_S
    while time.monotonic() < deadline:
        deployment = rollbook.endpoints.get(ENDPOINT).deployments[0]
        if deployment.state == "ready" and len(deployment.instances) == replicas:
            return deployment
        time.sleep(0.5)
    raise RuntimeError(f"it is not served: {json.dumps(rollbook.events(limit=1_000)[-1].event, default=str)}")
