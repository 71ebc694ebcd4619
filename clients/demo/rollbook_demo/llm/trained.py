"""Training the story's models in vLLM's environment, which has torch."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from rollbook import RollbookError

SIGNATURE = {
    "inputs": [{"name": "prompt", "datatype": "BYTES", "shape": [-1]}],
    "outputs": [{"name": "completion", "datatype": "BYTES", "shape": [-1]}],
}
_BASE = Path(__file__).with_name("train_small_llama.py")
_ADAPTER = Path(__file__).with_name("train_adapter.py")
_TRAINS_WITHIN_S = 1_200.0


class TrainedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A directory, the losses on held-out text before and after, and a prompt with what it completes."""

    directory: Path
    held_out_loss_before: float
    held_out_loss: float
    seconds: float
    steps: int
    golden: dict[str, str]

    @property
    def golden_example(self) -> dict[str, Any]:
        """Return the golden example as a version wants it."""
        given = {"name": "prompt", "datatype": "BYTES", "shape": [1], "data": [self.golden["prompt"]]}
        return {"inputs": [given], "outputs": {"completion": [self.golden["completion"]]}}


def vllm_python() -> Path:
    """Return the Python of vLLM's environment, whether or not it is there."""
    named = os.environ.get("ROLLBOOK_AGENT_VLLM_PYTHON")
    return Path(named) if named else Path(sys.prefix).parent / ".venv-vllm" / "bin" / "python"


def train_base(directory: Path, *, steps: int, held_out: Path) -> TrainedModel:
    """Train a model into a new directory, and write the lines that it never saw, as a list in JSON.

    Raises:
        RollbookError: the training ended in an error, or took too long.
    """
    return _train(_BASE, directory, "--steps", str(steps), "--held-out", str(held_out))


def train_adapter(base: Path, directory: Path, *, variant: str) -> TrainedModel:
    """Train an adapter of a model into a new directory.

    Raises:
        RollbookError: the training ended in an error, or took too long.
    """
    return _train(_ADAPTER, directory, "--base", str(base), "--variant", variant)


def _train(program: Path, directory: Path, *options: str) -> TrainedModel:
    command = [str(part) for part in (vllm_python(), program, "--out", directory, *options)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TRAINS_WITHIN_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise RollbookError(f"training {directory.name} took longer than {_TRAINS_WITHIN_S:g} s") from error
    if done.returncode != 0:
        raise RollbookError(f"training {directory.name} failed: {done.stderr[-500:]}")
    report = msgspec.json.decode(done.stdout.splitlines()[-1])
    return msgspec.convert({**report, "directory": str(directory)}, TrainedModel, dec_hook=_path)


def _path(kind: type, text: str) -> Any:  # noqa: ANN401 - msgspec asks for what it does not know
    return kind(text)
