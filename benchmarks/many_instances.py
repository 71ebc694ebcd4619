"""A thousand instances registered, routed and health-checked on one machine, and one of them killed under load.

A thousand engine processes would measure this machine's memory. So the engines are light (many ports in one process,
a real classifier behind them); the agent with its thousand keepers and probes, the log, the gateway and its thousand
addresses are the real ones. The stack's own agent is suspended meanwhile. The light agent probes each instance every
`_PROBE_EVERY_S`: on so few cores the usual two seconds would be most of the load.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue

import psutil

from benchmarks.cpu import cpu_used
from benchmarks.digits import PATH, image_bodies, register_two_versions
from benchmarks.figures import Figure, below
from benchmarks.light_agent import ALONE
from benchmarks.load import Counters, Plan
from benchmarks.stack import Stack, running_stack
from benchmarks.traffic import figures_of, flowing
from rollbook import Rollbook
from workers.serving_agent.settings import PREFIX

_ENDPOINTS, _REPLICAS = 100, 10
_PROBE_EVERY_S = 10.0
_REQUESTS_PER_S = 500.0
_SECONDS, _SECONDS_FULL = 30.0, 180.0
_THERE_WITHIN_S = 600.0
_P99_GOAL_MS = 100.0
_FOLLOWER_GOAL_PERCENT = 10.0


def measure(*, full: bool) -> Iterator[list[Figure]]:
    """Bring the instances up, load them, kill one, and see what it cost."""
    with running_stack() as stack, stack.client() as rollbook:
        (_, version) = register_two_versions(rollbook)
        stack.suspend("agent")
        names = [f"many-{number}" for number in range(_ENDPOINTS)]
        created = [rollbook.endpoints.create(name, version=version, replicas=_REPLICAS) for name in names]
        with _light_agent(stack, alone=created[0].deployments[0].id) as agent:
            took_s = _wait_for_all(rollbook, names, agent)
            alone = agent.alone()
            seconds = _SECONDS_FULL if full else _SECONDS
            plan = Plan(
                gateway_url=stack.gateway_url,
                token=rollbook.inference_tokens.mint(["*"]).token,
                path=PATH,
                bodies=image_bodies(),
                endpoints=names,
                requests_per_s=_REQUESTS_PER_S,
                # The rest goes to the first endpoint, whose instance is killed.
                target_share=0.2,
            )
            with flowing(plan, warm_up_s=5.0) as traffic, cpu_used(stack) as used:
                time.sleep(seconds / 2)
                psutil.Process(alone).kill()
                time.sleep(seconds / 2)
                load = traffic.finish()
            yield [
                *_figures(took_s, load),
                *figures_of(load, prefix="1,000 instances"),
                _follower(used.seconds.get("follower", 0.0) / used.wall_s),
                *used.figures(prefix="1,000 instances"),
            ]


class _Agent:
    """The light agent's process, and what it tells."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._announced: Queue[str] = Queue()
        self._process = process
        self._log = log
        threading.Thread(target=self._read, daemon=True).start()

    def alone(self) -> int:
        """Return the process of the instance that shares none."""
        return int(self._announced.get(timeout=_THERE_WITHIN_S))

    def require_alive(self) -> None:
        """Raise where it has ended, with the end of its log."""
        if self._process.poll() is not None:
            raise RuntimeError(f"the light agent has ended: {self._log.read_text()[-2_000:]}")

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("alone "):
                self._announced.put(line.split()[1])


@contextmanager
def _light_agent(stack: Stack, *, alone: str) -> Iterator[_Agent]:
    own = {
        "DATA_DIR": str(stack.data_dir),
        "API_URL": stack.api_url,
        "TOKEN_FILE": str(stack.data_dir / "secrets" / "agent.token"),
        "KAFKA_BOOTSTRAP": stack.kafka_bootstrap,
        "READY_FILE": str(stack.data_dir / "light-agent.ready"),
        "AGENT_ID": "light",
        "PROBE_INTERVAL_S": str(_PROBE_EVERY_S),
        "FORK_ENGINES": "false",
    }
    environ = {**os.environ, ALONE: alone, **{f"{PREFIX}{name}": value for name, value in own.items()}}
    command = [sys.executable, "-m", "benchmarks.light_agent"]
    with (stack.data_dir / "logs" / "light-agent.log").open("wb") as log:
        process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            yield _Agent(process, Path(log.name))
        finally:
            # Its engines end with their input, so nothing is withdrawn one by one: the stack goes too.
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def _wait_for_all(rollbook: Rollbook, names: list[str], agent: _Agent) -> float:
    began = time.monotonic()
    wanted = len(names) * _REPLICAS
    while (there := sum(_instances(rollbook, name) for name in names)) < wanted:
        agent.require_alive()
        if time.monotonic() - began > _THERE_WITHIN_S:
            raise TimeoutError(f"{there} of {wanted} instances after {_THERE_WITHIN_S:g} s")
        time.sleep(1.0)
    return time.monotonic() - began


def _instances(rollbook: Rollbook, name: str) -> int:
    return len(rollbook.endpoints.get(name).deployments[0].instances)


def _figures(took_s: float, load: Counters) -> list[Figure]:
    note = f"{_ENDPOINTS} endpoints with {_REPLICAS} each; one killed with -9"
    return [
        Figure(name="1,000 instances asked for to all announced", value=took_s, unit="s", note=note),
        Figure(name="1,000 instances: p99 under load", value=load.p99_ms, unit="ms", goal=below(_P99_GOAL_MS)),
    ]


def _follower(share: float) -> Figure:
    return Figure(
        name="1,000 instances: CPU of the follower",
        value=100 * share,
        unit="% of a core",
        goal=below(_FOLLOWER_GOAL_PERCENT),
    )
