"""The story on torch: a linear layer, a convolutional net, and that net retrained on mirrored images."""

import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from rollbook import RollbookError
from rollbook.resources import Version
from rollbook_demo.models import PIXELS, read_digits
from rollbook_demo.stories.base import Played, Stage
from rollbook_demo.stories.canaries import Canary, canary_steps, serve_baseline, tell_canaries
from rollbook_demo.stories.digits import GATES, live_digits
from rollbook_demo.traffic import Traffic

ENDPOINT = MODEL = "digits-torch"
REQUESTS_PER_S = 200.0
DATATYPE = "FP32"
_TRAINING_S = 300.0
_SERVING_TIMEOUT_S = 120.0
SIGNATURE = {
    "inputs": [{"name": "pixels", "datatype": DATATYPE, "shape": [-1, PIXELS]}],
    "outputs": [
        {"name": "label", "datatype": "INT64", "shape": [-1]},
        {"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]},
    ],
}
CANARY = Canary(
    endpoint=ENDPOINT,
    strategy=canary_steps(10, 50, 100, step_s=3, bake_s=4),
    gates=GATES,
    serving_timeout_s=_SERVING_TIMEOUT_S,
)


class TrainedNet(msgspec.Struct, frozen=True, kw_only=True):
    """What the training program says of a net."""

    path: str
    title: str
    offline_accuracy: float
    golden_label: int


class TorchStory(msgspec.Struct, frozen=True):
    """The worse net passes a threshold that the first version misses, and fails against the one beside it."""

    title: str = "torch classifiers of handwritten digits, trained in the demo"
    endpoint: str = ENDPOINT
    own_version: str = "my-model.pt2 --input pixels:FP32:-1x64 --output label:INT64:-1"
    settings: Mapping[str, str] = MappingProxyType({})

    def what_is_missing(self) -> str | None:
        if find_spec("torch") is not None:
            return None
        return (
            "needs torch, which is an extra: run `uv sync --inexact --extra torch`, or install rollbook-server[torch]"
        )

    def play(self, stage: Stage) -> Played:
        stage.narrator.act("Three torch classifiers of handwritten digits, trained now")
        versions = tuple(_register(stage, net) for net in _train(stage))
        serve_baseline(stage, CANARY, versions[0])
        plan = live_digits(stage, CANARY, requests_per_s=REQUESTS_PER_S, datatype=DATATYPE)
        with Traffic(plan) as traffic:
            outcome = tell_canaries(
                stage, CANARY, traffic, versions, the_slip="retrained on images that were mirrored by mistake"
            )
            progress, answers = traffic.finish()
        return Played(outcome=outcome, progress=progress, answers=answers)


def _train(stage: Stage) -> list[TrainedNet]:
    stage.rollbook.models.register(MODEL, description="Handwritten digits, 8×8 pixels, by torch")
    command = [sys.executable, "-m", "rollbook_demo.stories.train_digit_nets", "--out", str(stage.directory)]
    done = subprocess.run(command, capture_output=True, timeout=_TRAINING_S, check=False)
    if done.returncode:
        raise RollbookError(f"training failed: {done.stderr.decode(errors='replace')[-500:]}")
    return msgspec.json.decode(done.stdout, type=list[TrainedNet])


def _register(stage: Stage, net: TrainedNet) -> Version:
    version = stage.rollbook.versions.register(
        MODEL,
        Path(net.path),
        signature=SIGNATURE,
        golden=_golden(net),
        metrics={"validation_accuracy": net.offline_accuracy},
    )
    stage.narrator.say(f"{version.reference}  {net.title}: {net.offline_accuracy:.1%} on 200 validation images")
    return version


def _golden(net: TrainedNet) -> dict[str, Any]:
    image = read_digits().train_images[0].tolist()
    given = {"name": "pixels", "datatype": DATATYPE, "shape": [1, PIXELS], "data": image}
    return {"inputs": [given], "outputs": {"label": [net.golden_label]}}
