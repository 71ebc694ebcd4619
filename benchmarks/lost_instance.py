"""One of two instances is killed with -9 under load, again and again: how many requests fail, and how soon it is back.

Each kill waits until both are there, so that each finds one of two. The slow answers around a kill are those that were
in progress at the dead instance, or met it before Envoy left it out.
"""

import os
import signal
import time
from collections.abc import Iterator

import psutil

from benchmarks.digits import ENDPOINT, PATH, eventually, image_bodies, register_two_versions
from benchmarks.figures import Figure, quantile
from benchmarks.load import Plan
from benchmarks.stack import Stack, running_stack
from benchmarks.traffic import figures_of, flowing
from rollbook import Rollbook

_KILLS, _KILLS_FULL = 5, 50
_REPLICAS = 2
_REQUESTS_PER_S = 200.0
# A part of the kills meets the other one while it still starts slowly.
_PAUSES_S = (1.0, 3.0, 6.0, 12.0)
_ANNOUNCED = "endpoints.InstanceAnnounced.v1"


def measure(*, full: bool) -> Iterator[list[Figure]]:
    """Kill the two in turn."""
    with running_stack() as stack, stack.client() as rollbook:
        (version, _) = register_two_versions(rollbook)
        rollbook.endpoints.create(ENDPOINT, version=version, replicas=_REPLICAS)
        eventually(lambda: _instances(rollbook) == _REPLICAS)
        plan = Plan(
            gateway_url=stack.gateway_url,
            token=rollbook.inference_tokens.mint(["*"]).token,
            path=PATH,
            bodies=image_bodies(),
            endpoints=[ENDPOINT],
            requests_per_s=_REQUESTS_PER_S,
        )
        with flowing(plan, warm_up_s=5.0) as traffic:
            kills = _KILLS_FULL if full else _KILLS
            away = [_kill_one(stack, rollbook, number) for number in range(kills)]
            load = traffic.finish()
        yield [*_figures(away), *figures_of(load, prefix="load")]


def _kill_one(stack: Stack, rollbook: Rollbook, number: int) -> float:
    """Kill an engine, and return how long it took until another one was announced in its place."""
    time.sleep(_PAUSES_S[number % len(_PAUSES_S)])
    engines = sorted(_engines(stack), key=lambda process: process.pid)
    announced = _announced(rollbook)
    began = time.monotonic()
    os.kill(engines[number % len(engines)].pid, signal.SIGKILL)
    eventually(lambda: _announced(rollbook) > announced and _instances(rollbook) == _REPLICAS)
    return time.monotonic() - began


def _engines(stack: Stack) -> list[psutil.Process]:
    return [process for process in stack.processes() if stack.name_of(process) == "engines"]


def _instances(rollbook: Rollbook) -> int:
    deployments = rollbook.endpoints.get(ENDPOINT).deployments
    return len(deployments[0].instances) if deployments else 0


def _announced(rollbook: Rollbook) -> int:
    return len(rollbook.events(event_type=_ANNOUNCED, limit=1_000))


def _figures(away: list[float]) -> list[Figure]:
    note = f"{len(away)} kills, longest {max(away):.1f} s"
    return [
        Figure(name="kill -9 to announced again, p50", value=quantile(away, 0.5), unit="s", note=note),
        Figure(name="kills of one of two instances", value=len(away), unit=""),
    ]
