"""What 1, 20 and 200 active rollouts cost the judge, the API and ClickHouse, and how soon one that goes bad is aborted.

The programs are the stack's own, without gateway and engines: the benchmark announces the instances and reports the
traffic as applied, and writes records, captured answers and labels into the topics at a steady rate. All rollouts are
canaries in their first step, with gates on errors, latency and quality that have enough evidence to judge.
"""

import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import psutil

from benchmarks.digits import eventually, register_two_versions
from benchmarks.figures import Figure, below
from benchmarks.neighbours import running_neighbours
from benchmarks.programs import new_folder, running
from benchmarks.rollout_traffic import Served, Stream, streaming
from benchmarks.wire import BlockingConnection, request_bytes
from infra.ports import free_ports
from infra.stack.addresses import LOOPBACK
from rollbook import Rollbook

COUNTS = (1, 20, 200)
_SETTLE_S = 5.0
_SECONDS, _SECONDS_FULL = 15.0, 60.0
_SHOWN = ("judge", "api", "clickhouse", "projections", "kafka", "relay")
_INTERVAL_MS = 500
_HOUR_MS = 60 * 60 * 1000
_STEP = {"weight_percent": 50, "min_duration_ms": _HOUR_MS, "max_duration_ms": 2 * _HOUR_MS}
_PLAN: dict[str, Any] = {
    "strategy": {"kind": "canary", "steps": [_STEP, {**_STEP, "weight_percent": 100}], "bake_time_ms": 60_000},
    "gates": [
        {"kind": "error_rate", "max_increase": 0.02, "min_requests": 20},
        {"kind": "latency", "threshold_ms": 250, "max_increase": 0.1, "min_requests": 20},
        {"kind": "quality", "feedback_name": "label", "max_drop": 0.1, "min_labels": 20},
    ],
}


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """The programs: where they answer, and their processes."""

    folder: Path
    bootstrap: str
    api_url: str
    judge_metrics_url: str
    pids: Mapping[str, int]

    def token(self, role: str) -> str:
        return (self.folder / "secrets" / f"{role}.token").read_text(encoding="utf-8").strip()


def measure(*, full: bool) -> Iterator[list[Figure]]:
    """Start more and more rollouts, and let one of them go bad at the end."""
    seconds = _SECONDS_FULL if full else _SECONDS
    with _programs() as programs, Rollbook(programs.api_url, token=programs.token("admin")) as rollbook:
        versions = register_two_versions(rollbook)
        with streaming(programs.bootstrap) as stream, BlockingConnection(programs.api_url) as api:
            served: list[Served] = []
            for count in COUNTS:
                served += _started(rollbook, programs, api, range(len(served), count), versions=versions)
                stream.served = served
                time.sleep(_SETTLE_S)
                yield _looked(programs, stream, seconds=seconds, count=count)
            yield [_aborted(rollbook, stream, served)]


@contextmanager
def _programs() -> Iterator[Running]:
    with new_folder() as folder, running_neighbours(folder) as neighbours, ExitStack() as opened:
        api, metrics = free_ports(2)
        url = f"http://{LOOPBACK}:{api}"
        (folder / "run").mkdir()
        nudges = str(folder / "run" / "relay.sock")
        kafka = {"KAFKA_BOOTSTRAP": neighbours.bootstrap}
        views = {"DATA_DIR": str(folder), "CLICKHOUSE_URL": neighbours.clickhouse_url, **kafka}
        of_api = {**views, "PORT": str(api), "RELAY_NUDGE_SOCKET": nudges}
        pids = {
            "kafka": neighbours.kafka_pid,
            "clickhouse": neighbours.clickhouse_pid,
            "api": opened.enter_context(running("api", of_api, is_ready=lambda: _answers(f"{url}/readyz"))),
        }
        rest = {
            "relay": {"DATA_DIR": str(folder), "NUDGE_SOCKET": nudges, **kafka},
            "projections": views,
            "judge": {
                "API_URL": url,
                "TOKEN_FILE": str(folder / "secrets" / "judge.token"),
                "METRICS_PORT": str(metrics),
                "INTERVAL_MS": str(_INTERVAL_MS),
                **kafka,
            },
        }
        for name, settings in rest.items():
            ready = folder / "run" / f"{name}.ready"
            pids[name] = opened.enter_context(
                running(name, {**settings, "READY_FILE": str(ready)}, is_ready=ready.exists)
            )
        yield Running(
            folder=folder,
            bootstrap=neighbours.bootstrap,
            api_url=url,
            judge_metrics_url=f"http://{LOOPBACK}:{metrics}/metrics",
            pids=pids,
        )


def _started(
    rollbook: Rollbook,
    programs: Running,
    api: BlockingConnection,
    numbers: Sequence[int],
    *,
    versions: tuple[str, str],
) -> list[Served]:
    """Start a rollout on an endpoint of its own for each number, and return once their first steps are served."""
    token = programs.token("admin")

    def report(path: str, body: Mapping[str, Any]) -> None:
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        answer = api.ask(request_bytes("POST", path, headers=headers, body=msgspec.json.encode(body)))
        if answer.status >= 300:
            raise RuntimeError(f"POST {path}: {answer.status} {answer.body.decode()}")

    def announce(endpoint_id: str, deployment_id: str) -> None:
        announced = {"endpoint_id": endpoint_id, "deployment_id": deployment_id, "host": LOOPBACK, "port": 9}
        ids, places = dict.fromkeys(("agent_id", "boot_id"), "benchmark"), dict.fromkeys(("region", "zone"), "local")
        report("/v1/instances", {**announced, **ids, **places})

    ids = []
    for number in numbers:
        endpoint = rollbook.endpoints.create(f"digits-{number}", version=versions[0])
        announce(endpoint.id, endpoint.deployments[0].id)
        rollout = rollbook.rollouts.start(endpoint.name, versions[1], **_PLAN)
        announce(endpoint.id, rollout.candidate_deployment_id)
        ids.append(rollout.id)
    eventually(lambda: all(rollbook.rollouts.get(each).epoch is not None for each in ids))
    served = []
    for rollout in map(rollbook.rollouts.get, ids):
        assert rollout.epoch is not None
        at = {"region": "local", "gateway_id": "benchmark", "applied_at": _now()}
        report(f"/v1/endpoints/{rollout.endpoint_id}/applied", {"epoch": rollout.epoch, **at})
        served.append(
            Served(
                rollout_id=rollout.id,
                endpoint=rollout.endpoint_name,
                endpoint_id=rollout.endpoint_id,
                epoch=rollout.epoch,
                candidate=rollout.candidate_deployment_id,
                baseline=rollout.baseline_deployment_id,
            )
        )
    return served


def _looked(programs: Running, stream: Stream, *, seconds: float, count: int) -> list[Figure]:
    before, looks, rows, began = _cpu_seconds(programs), _looks(programs), stream.rows, time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - began
    used = {name: (after - before[name]) / took for name, after in _cpu_seconds(programs).items()}
    made = _looks(programs) - looks
    prefix = f"{count} rollout{'s' if count > 1 else ''}"
    cores = [
        Figure(
            name=f"{prefix}: {name}",
            value=used[name],
            unit="of a core",
            goal=below(0.3) if (name, count) == ("judge", COUNTS[-1]) else None,
        )
        for name in _SHOWN
    ]
    between = Figure(
        name=f"{prefix}: between two looks at one",
        value=count * took / max(1, made),
        unit="s",
        note=f"{made:,.0f} looks in {took:.0f} s, {(stream.rows - rows) / took:.0f} records/s",
    )
    return [*cores, between]


def _aborted(rollbook: Rollbook, stream: Stream, served: Sequence[Served]) -> Figure:
    """Let a candidate fail, and see when its rollout is aborted. The time runs from the first failure in the topic."""
    bad = served[len(served) // 2]
    bad.is_bad = True
    stream.served = [bad, *served[:3]]
    eventually(lambda: rollbook.rollouts.get(bad.rollout_id).phase == "aborted")
    ended_at = rollbook.rollouts.get(bad.rollout_id).finished_at
    assert ended_at is not None
    assert stream.bad_since is not None
    delay = datetime.fromisoformat(ended_at).timestamp() - stream.bad_since
    return Figure(name=f"{len(served)} rollouts: first failure to abort", value=delay, unit="s")


def _cpu_seconds(programs: Running) -> dict[str, float]:
    return {name: sum(psutil.Process(pid).cpu_times()[:2]) for name, pid in programs.pids.items()}


def _looks(programs: Running) -> float:
    with urllib.request.urlopen(programs.judge_metrics_url, timeout=5) as answer:  # noqa: S310  our own program
        lines = answer.read().decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("rollbook_judge_looks_total"))


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310  our own API
            return True
    except (urllib.error.URLError, OSError):
        return False


def _now() -> str:
    return datetime.now().astimezone().isoformat()
