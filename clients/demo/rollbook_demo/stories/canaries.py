"""What every story does: serve a version, show the traffic, and roll one out automatically."""

import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import msgspec

from rollbook.cli.gate_table import gate_lines
from rollbook.cli.output import width_at_hand
from rollbook.resources import Rollout, Version
from rollbook_demo.narration import Narrator
from rollbook_demo.pace import Pace, lag_of
from rollbook_demo.stories.base import Outcome, Stage
from rollbook_demo.traffic import Traffic

_STEADY_S = 4.0
_AFTERMATH_S = 3.0
_POLL_S = 0.25
_SERVING_TIMEOUT_S = 60.0
_ROLLOUT_TIMEOUT_S = 1_200.0
_DECIDED = ("baking", "aborted")
_INDENT = 5


class Canary(msgspec.Struct, frozen=True, kw_only=True):
    """How versions are rolled out on an endpoint."""

    endpoint: str
    strategy: dict[str, Any]
    gates: list[dict[str, Any]]
    serving_timeout_s: float = _SERVING_TIMEOUT_S
    rollout_timeout_s: float = _ROLLOUT_TIMEOUT_S


def canary_steps(*weights: int, step_s: float, bake_s: float) -> dict[str, Any]:
    """Return the strategy of a canary whose steps last as long each, ten minutes at most."""
    steps = [
        {"weight_percent": weight, "min_duration_ms": round(step_s * 1000), "max_duration_ms": 600_000}
        for weight in weights
    ]
    return {"kind": "canary", "steps": steps, "bake_time_ms": round(bake_s * 1000)}


def serve_baseline(stage: Stage, canary: Canary, version: Version) -> None:
    """Create the endpoint on the baseline and wait until the gateway answers for it."""
    began, endpoint = time.monotonic(), canary.endpoint
    stage.rollbook.endpoints.create(endpoint, version=version.reference)
    token = stage.rollbook.inference_tokens.mint([endpoint]).token
    request = urllib.request.Request(  # noqa: S310  the gateway's own address
        f"{stage.gateway_url}/v2/models/{endpoint}/ready", headers={"authorization": f"Bearer {token}"}
    )
    while not _answers(request):
        if time.monotonic() - began > canary.serving_timeout_s:
            raise TimeoutError(f"endpoint {endpoint} did not serve within {canary.serving_timeout_s:g} s")
        time.sleep(_POLL_S)
    stage.narrator.say(f"endpoint {endpoint} serves {version.reference} after {time.monotonic() - began:.1f} s")


def _answers(request: urllib.request.Request) -> bool:
    try:
        with urllib.request.urlopen(request, timeout=2):  # noqa: S310  the gateway's own address
            return True
    except (urllib.error.URLError, TimeoutError):
        return False


def tell_canaries(
    stage: Stage,
    canary: Canary,
    traffic: Traffic,
    versions: tuple[Version, ...],
    *,
    the_slip: str,
    beside: Callable[[Version], AbstractContextManager[None]] = lambda _version: nullcontext(),
) -> Outcome:
    """Roll out the better version, then the slipped one, and wait for what the gates decide.

    `beside` makes what goes on while a version is rolled out.
    """
    began_at_ms = int(time.time() * 1000)
    watched = _Watched(stage, canary.endpoint, traffic)
    watched.show(_STEADY_S)
    _, better, slipped = versions
    weights = ", ".join(str(step["weight_percent"]) for step in canary.strategy["steps"])
    stage.narrator.act(f"A canary of {better.reference}: {weights} %, judged against the baseline beside it")
    with beside(better):
        promoted = _roll_out(stage, canary, watched, better)
    stage.narrator.act(f"A canary of {slipped.reference}: {the_slip}")
    with beside(slipped):
        rolled_back = _roll_out(stage, canary, watched, slipped)
    watched.show(_AFTERMATH_S)
    return Outcome(
        endpoint=canary.endpoint,
        began_at_ms=began_at_ms,
        versions=versions,
        promoted=promoted,
        rolled_back=rolled_back,
    )


class _Watched:
    """The traffic as it is shown while a story waits, at a rate that the machine can keep up with."""

    def __init__(self, stage: Stage, endpoint: str, traffic: Traffic) -> None:
        self._stage = stage
        self._endpoint = endpoint
        self._traffic = traffic
        self._pace = Pace(traffic, stage.narrator, lag_of(stage.rollbook, endpoint))

    def look(self) -> None:
        """Show it, and wait a little."""
        self._stage.narrator.traffic(self._stage.rollbook.endpoints.get(self._endpoint), self._traffic.progress)
        self._pace.keep()
        time.sleep(_POLL_S)

    def show(self, seconds: float) -> None:
        """Show it for a while."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.look()


def _roll_out(stage: Stage, canary: Canary, traffic: _Watched, version: Version) -> Rollout:
    rollbook, narrator = stage.rollbook, stage.narrator
    rollout = rollbook.rollouts.start(canary.endpoint, version.reference, strategy=canary.strategy, gates=canary.gates)
    deadline, told = time.monotonic() + canary.rollout_timeout_s, ""
    while not rollout.is_over:
        if time.monotonic() > deadline:
            raise TimeoutError(f"rollout {rollout.id} is still {rollout.phase} after {canary.rollout_timeout_s:g} s")
        traffic.look()
        rollout = rollbook.rollouts.get(rollout.id)
        line = rollout.reason or rollout.phase
        if line != told:
            told = line
            narrator.say(line)
            if rollout.phase in _DECIDED:
                _say_gates(narrator, rollout)
    return rollout


def _say_gates(narrator: Narrator, rollout: Rollout) -> None:
    for line in gate_lines(rollout.verdicts, width=width_at_hand() - _INDENT):
        narrator.say(f"  {line}".rstrip())
