"""Stack ready after `rollbook up`, and resident memory of all of it, idle and under load."""

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil

from benchmarks.digits import ENDPOINT, PATH, image_bodies, register_two_versions, serve
from benchmarks.figures import Figure, at_most
from benchmarks.load import Plan
from benchmarks.stack import Stack, running_stack
from benchmarks.traffic import figures_of, flowing

_STARTS = 2
_IDLE_S = 10.0
_LOAD_S = 20.0
_LOAD_FULL_S = 60.0
_REQUESTS_PER_S = 300.0
_KIB, _MB, _GB = 1024, 1e6, 1e9


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """What one process keeps. PSS counts a page that several share once in sum; RSS counts it in each of them."""

    name: str
    rss: int
    pss: int


def measure(*, full: bool) -> Iterator[list[Figure]]:
    """Start on a new directory a few times; look at the last stack's memory."""
    for number in range(1, _STARTS + (2 if full else 0)):
        with running_stack() as stack:
            yield [_ready(stack, number)]
    with running_stack() as stack, stack.client() as rollbook:
        yield [_ready(stack, _STARTS + (2 if full else 0))]
        serve(rollbook, *register_two_versions(rollbook))
        time.sleep(_IDLE_S)
        yield _figures(_memory(stack), when="idle, two engines")
        plan = Plan(
            gateway_url=stack.gateway_url,
            token=rollbook.inference_tokens.mint(["*"]).token,
            path=PATH,
            bodies=image_bodies(),
            endpoints=[ENDPOINT],
            requests_per_s=_REQUESTS_PER_S,
        )
        with flowing(plan) as traffic:
            time.sleep(_LOAD_FULL_S if full else _LOAD_S)
            memory = _memory(stack)
            load = traffic.finish()
        yield [*_figures(memory, when=f"after {load.wall_s:.0f} s of load"), *figures_of(load, prefix="load")]


def _ready(stack: Stack, number: int) -> Figure:
    return Figure(
        name=f"ready, start {number} on a new directory", value=stack.ready_after_s, unit="s", goal=at_most(20)
    )


def _memory(stack: Stack) -> list[Memory]:
    found = []
    for process in stack.processes():
        try:
            found.append(memory_of(process, stack.name_of(process)))
        except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            continue
    return sorted(found, key=lambda one: -one.pss)


def memory_of(process: psutil.Process, name: str) -> Memory:
    """Look at what a process keeps."""
    rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="utf-8")
    kib = {line.split(":")[0]: int(line.split()[1]) for line in rollup.splitlines() if line.endswith(" kB")}
    return Memory(name=name, rss=kib["Rss"] * _KIB, pss=kib["Pss"] * _KIB)


def _figures(memory: list[Memory], *, when: str) -> list[Figure]:
    rss, pss = sum(one.rss for one in memory), sum(one.pss for one in memory)
    return [
        Figure(name=f"resident, PSS, {when}", value=pss / _GB, unit="GB", goal=at_most(2.5)),
        Figure(name=f"resident, sum of RSS, {when}", value=rss / _GB, unit="GB", note=f"{len(memory)} processes"),
        *(
            Figure(name=f"    {one.name}", value=one.pss / _MB, unit="MB PSS", note=f"RSS {one.rss / _MB:.0f}")
            for one in memory
        ),
    ]
