"""The story itself: three versions, one promoted and one rolled back, with no hand on either."""

import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import msgspec

from rollbook import Rollbook
from rollbook.resources import Rollout, Version
from rollbook_demo.load import Plan
from rollbook_demo.models import SIGNATURE, TrainedVersion, golden_example, read_digits, save_version, train_versions
from rollbook_demo.narration import Narrator
from rollbook_demo.traffic import Traffic

ENDPOINT = MODEL = "digits"
REQUESTS_PER_S = 320.0
LABEL_DELAY_S = 1.5
FIXED_THRESHOLD = 0.80
_STEADY_S = 4.0
_AFTERMATH_S = 3.0
_POLL_S = 0.25
_SERVING_TIMEOUT_S = 60.0
_ROLLOUT_TIMEOUT_S = 150.0

STRATEGY: dict[str, Any] = {
    "kind": "canary",
    "steps": [
        {"weight_percent": weight, "min_duration_ms": 3_000, "max_duration_ms": 60_000} for weight in (5, 25, 50, 100)
    ],
    "bake_time_ms": 4_000,
}
GATES: list[dict[str, Any]] = [
    {"kind": "error_rate", "max_increase": 0.05, "min_requests": 100},
    {"kind": "latency", "threshold_ms": 500.0, "max_increase": 0.20, "min_requests": 100},
    {"kind": "quality", "feedback_name": "label", "max_drop": 0.01, "min_labels": 60},
]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What the story left: the rollouts, and when it began (Unix ms)."""

    began_at_ms: int
    versions: tuple[Version, ...]
    promoted: Rollout
    rolled_back: Rollout


def register_versions(rollbook: Rollbook, narrator: Narrator, directory: Path) -> tuple[Version, ...]:
    """Train the three versions and register each with its artifact and a golden example."""
    digits = read_digits()
    rollbook.models.register(MODEL, description="Handwritten digits, 8×8 pixels")
    registered = []
    for number, trained in enumerate(train_versions(digits), start=1):
        path = save_version(trained, directory / f"{MODEL}-{number}.skops")
        version = rollbook.versions.register(
            MODEL,
            path,
            signature=SIGNATURE,
            golden=golden_example(trained, digits.train_images[0]),
            metrics={"validation_accuracy": trained.offline_accuracy},
        )
        narrator.say(_introduction(version, trained))
        registered.append(version)
    return tuple(registered)


def _introduction(version: Version, trained: TrainedVersion) -> str:
    passes = "passes" if trained.offline_accuracy >= FIXED_THRESHOLD else "misses"
    return (
        f"{version.reference}  {trained.title}: {trained.offline_accuracy:.1%} on 200 validation images, "
        f"{passes} the fixed {FIXED_THRESHOLD:.0%} threshold"
    )


def serve_baseline(rollbook: Rollbook, narrator: Narrator, version: Version, gateway_url: str) -> None:
    """Create the endpoint on the baseline and wait until the gateway answers for it."""
    began = time.monotonic()
    rollbook.endpoints.create(ENDPOINT, version=version.reference)
    token = rollbook.inference_token([ENDPOINT]).token
    request = urllib.request.Request(  # noqa: S310  the gateway's own address
        f"{gateway_url}/v2/models/{ENDPOINT}/ready", headers={"authorization": f"Bearer {token}"}
    )
    while not _answers(request):
        if time.monotonic() - began > _SERVING_TIMEOUT_S:
            raise TimeoutError(f"endpoint {ENDPOINT} did not serve within {_SERVING_TIMEOUT_S:g} s")
        time.sleep(_POLL_S)
    narrator.say(f"endpoint {ENDPOINT} serves {version.reference} after {time.monotonic() - began:.1f} s")


def _answers(request: urllib.request.Request) -> bool:
    try:
        with urllib.request.urlopen(request, timeout=2):  # noqa: S310  the gateway's own address
            return True
    except (urllib.error.URLError, TimeoutError):
        return False


def load_plan(rollbook: Rollbook, *, gateway_url: str, api_url: str, token: str, directory: Path) -> Plan:
    """Return what the load process is told."""
    return Plan(
        gateway_url=gateway_url,
        api_url=api_url,
        endpoint=ENDPOINT,
        inference_token=rollbook.inference_token([ENDPOINT]).token,
        api_token=token,
        requests_per_s=REQUESTS_PER_S,
        label_delay_s=LABEL_DELAY_S,
        answers_file=str(directory / "answers.json"),
    )


def tell(rollbook: Rollbook, narrator: Narrator, traffic: Traffic, versions: tuple[Version, ...]) -> Outcome:
    """Roll out the better version, then the slipped one, and wait for what the gates decide."""
    began_at_ms = int(time.time() * 1000)
    _show_traffic(rollbook, narrator, traffic, seconds=_STEADY_S)
    _, better, slipped = versions
    narrator.act(f"A canary of {better.reference}: 5, 25, 50, 100 %, judged against the baseline beside it")
    promoted = _roll_out(rollbook, narrator, traffic, better)
    narrator.act(f"A canary of {slipped.reference}: fast, HTTP 200, and wrong")
    rolled_back = _roll_out(rollbook, narrator, traffic, slipped)
    _show_traffic(rollbook, narrator, traffic, seconds=_AFTERMATH_S)
    return Outcome(began_at_ms=began_at_ms, versions=versions, promoted=promoted, rolled_back=rolled_back)


def _show_traffic(rollbook: Rollbook, narrator: Narrator, traffic: Traffic, *, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        narrator.traffic(rollbook.endpoints.get(ENDPOINT), traffic.progress)
        time.sleep(_POLL_S)


def _roll_out(rollbook: Rollbook, narrator: Narrator, traffic: Traffic, version: Version) -> Rollout:
    rollout = rollbook.rollouts.start(ENDPOINT, version.reference, strategy=STRATEGY, gates=GATES)
    deadline, told = time.monotonic() + _ROLLOUT_TIMEOUT_S, ""
    while not rollout.is_over:
        if time.monotonic() > deadline:
            raise TimeoutError(f"rollout {rollout.id} is still {rollout.phase} after {_ROLLOUT_TIMEOUT_S:g} s")
        narrator.traffic(rollbook.endpoints.get(ENDPOINT), traffic.progress)
        rollout = rollbook.rollouts.get(rollout.id)
        line = f"{rollout.phase}: {rollout.reason}" if rollout.reason else rollout.phase
        if line != told:
            told = line
            narrator.say(line)
        time.sleep(_POLL_S)
    return rollout
