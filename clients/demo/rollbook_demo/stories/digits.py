"""The story that needs nothing more: three scikit-learn versions, one promoted and one rolled back."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from rollbook.resources import Version
from rollbook_demo.load import Plan
from rollbook_demo.models import SIGNATURE, TrainedVersion, golden_example, read_digits, save_version, train_versions
from rollbook_demo.stories.base import Played, Stage
from rollbook_demo.stories.canaries import Canary, canary_steps, serve_baseline, tell_canaries
from rollbook_demo.traffic import Traffic

ENDPOINT = MODEL = "digits"
REQUESTS_PER_S = 160.0
LABEL_DELAY_S = 1.5
FIXED_THRESHOLD = 0.80

GATES: list[dict[str, Any]] = [
    {"kind": "error_rate", "max_increase": 0.05, "min_requests": 100},
    {"kind": "latency", "threshold_ms": 500.0, "max_increase": 0.20, "min_requests": 100},
    {"kind": "quality", "feedback_name": "label", "max_drop": 0.01, "min_labels": 60},
]
CANARY = Canary(endpoint=ENDPOINT, strategy=canary_steps(5, 25, 50, 100, step_s=3, bake_s=4), gates=GATES)


class DigitsStory(msgspec.Struct, frozen=True):
    """A fixed threshold would let the slipped version pass; the one that serves beside it does not."""

    title: str = "scikit-learn classifiers of handwritten digits"
    endpoint: str = ENDPOINT
    own_version: str = "my-model.skops --input pixels:FP64:-1x64"
    settings: Mapping[str, str] = MappingProxyType({})

    def what_is_missing(self) -> str | None:
        return None

    def play(self, stage: Stage) -> Played:
        stage.narrator.act("Three versions of a classifier of handwritten digits")
        versions = _register_versions(stage)
        serve_baseline(stage, CANARY, versions[0])
        plan = live_digits(stage, CANARY, requests_per_s=REQUESTS_PER_S)
        with Traffic(plan) as traffic:
            outcome = tell_canaries(stage, CANARY, traffic, versions, the_slip="fast, HTTP 200, and wrong")
            progress, answers = traffic.finish()
        return Played(outcome=outcome, progress=progress, answers=answers)


def _register_versions(stage: Stage) -> tuple[Version, ...]:
    """Train the three versions and register each with its artifact and a golden example."""
    digits = read_digits()
    stage.rollbook.models.register(MODEL, description="Handwritten digits, 8×8 pixels")
    registered = []
    for number, trained in enumerate(train_versions(digits), start=1):
        path: Path = save_version(trained, stage.directory / f"{MODEL}-{number}.skops")
        version = stage.rollbook.versions.register(
            MODEL,
            path,
            signature=SIGNATURE,
            golden=golden_example(trained, digits.train_images[0]),
            metrics={"validation_accuracy": trained.offline_accuracy},
        )
        stage.narrator.say(_introduction(version, trained))
        registered.append(version)
    return tuple(registered)


def _introduction(version: Version, trained: TrainedVersion) -> str:
    passes = "passes" if trained.offline_accuracy >= FIXED_THRESHOLD else "misses"
    return (
        f"{version.reference}  {trained.title}: {trained.offline_accuracy:.1%} on 200 validation images, "
        f"{passes} the fixed {FIXED_THRESHOLD:.0%} threshold"
    )


def live_digits(stage: Stage, canary: Canary, *, requests_per_s: float, datatype: str = "FP64") -> Plan:
    """Announce live traffic of handwritten digits, and return what the load process is told."""
    stage.narrator.act(f"Live traffic: {requests_per_s:g} requests/s, labels {LABEL_DELAY_S:g} s later")
    return Plan(
        gateway_url=stage.gateway_url,
        api_url=stage.profile.api_url(),
        endpoint=canary.endpoint,
        inference_token=stage.rollbook.inference_tokens.mint([canary.endpoint]).token,
        api_token=stage.admin_token,
        requests_per_s=requests_per_s,
        label_delay_s=LABEL_DELAY_S,
        answers_file=str(stage.directory / "answers.json"),
        datatype=datatype,
    )
