"""Durable commands a second over HTTP, at 1 and 16 clients: by the API alone, and with all that follows its log."""

import urllib.error
import urllib.request
from collections.abc import Iterator

from benchmarks.closed_loop import Lap, Round, run_apart
from benchmarks.cpu import cpu_used
from benchmarks.figures import Figure, Goal, at_least, at_most, below, quantile
from benchmarks.programs import new_folder, running
from benchmarks.stack import MAX_REQUESTS_PER_SECOND, running_stack
from infra.ports import free_ports
from infra.stack.addresses import LOOPBACK

_CLIENTS = {1: at_least(500), 16: at_least(1_500)}
_SECONDS = 8.0
_SECONDS_FULL = 20.0
_WARM_UP_S = 2.0


def measure(*, full: bool) -> Iterator[list[Figure]]:
    """Register models, each under a new name and an idempotency key; every answer means that it is on the disk."""
    seconds = _SECONDS_FULL if full else _SECONDS
    with new_folder() as folder:
        port, kafka, clickhouse = free_ports(3)
        url = f"http://{LOOPBACK}:{port}"
        settings = {
            "PORT": str(port),
            "DATA_DIR": str(folder),
            "KAFKA_BOOTSTRAP": f"{LOOPBACK}:{kafka}",
            "CLICKHOUSE_URL": f"http://{LOOPBACK}:{clickhouse}",
            "REQUESTS_PER_SECOND_EACH": MAX_REQUESTS_PER_SECOND,
        }
        with running("api", settings, is_ready=lambda: _is_alive(url)):
            token = (folder / "secrets/admin.token").read_text(encoding="utf-8").strip()
            yield from _rounds(url, token, seconds, where="API alone")
    with running_stack() as stack:
        with cpu_used(stack) as used:
            yield from _rounds(stack.api_url, stack.token("admin"), seconds, where="whole stack")
        yield used.figures(prefix="whole stack")


def _rounds(url: str, token: str, seconds: float, *, where: str) -> Iterator[list[Figure]]:
    run_apart(Round(api_url=url, token=token, clients=16, seconds=_WARM_UP_S))
    for clients, goal in _CLIENTS.items():
        lap = run_apart(Round(api_url=url, token=token, clients=clients, seconds=seconds))
        yield _figures(lap, goal, prefix=f"{where}, {clients} client{'s' if clients > 1 else ''}")


def _figures(lap: Lap, goal: Goal, *, prefix: str) -> list[Figure]:
    taken = lap.durations_ms
    own = 100 * lap.cpu_s / lap.seconds
    return [
        Figure(
            name=f"{prefix}: durable commands",
            value=len(taken) / lap.seconds,
            unit="/s",
            goal=goal,
            note=f"{len(taken):,} commands; the clients used {own:.0f} % of a core",
        ),
        Figure(
            name=f"{prefix}: a command, p99",
            value=quantile(taken, 0.99),
            unit="ms",
            goal=below(50),
            note=f"p50 {quantile(taken, 0.5):.2f} ms",
        ),
        Figure(name=f"{prefix}: refused", value=lap.refused, unit="", goal=at_most(0)),
    ]


def _is_alive(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=2):  # noqa: S310 - our own API
            return True
    except (urllib.error.URLError, OSError):
        return False
