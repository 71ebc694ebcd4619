"""`rollbook resources`: what instances, hosts and gateways use and have in hand."""

import time
from typing import Any

import click
import msgspec

from rollbook.cli.output import show
from rollbook.cli.profile import Profile, pass_profile
from rollbook.resources import Resources

_MEBIBYTE = 1024**2
_COLUMNS = (
    "instance",
    "cpu_percent",
    "memory_mib",
    "gpu_percent",
    "in_flight",
    "queue_depth",
    "kv_cache",
    "requests_per_s",
)
_MACHINES = ("subject", "name", "cpu_percent", "memory_mib", "gpu_percent", "connections", "requests_per_s")


@click.command("resources")
@click.argument("endpoint", required=False)
@click.option("--minutes", type=click.IntRange(1, 2_880), default=1, show_default=True, help="Go back this far.")
@click.option("--history", is_flag=True, help="Show one line per minute instead of only the newest.")
@pass_profile
def resources(profile: Profile, endpoint: str | None, minutes: int, *, history: bool) -> None:
    """Show what ENDPOINT's instances use, or without ENDPOINT, hosts and gateways. A dash means not measured."""
    since_ms = int((time.time() - 60 * minutes) * 1_000)
    with profile.client() as rollbook:
        answer = (
            rollbook.endpoints.resources(endpoint, since_ms=since_ms)
            if endpoint
            else rollbook.views.resources(since_ms=since_ms)
        )
    items = answer.items if history else _newest(answer.items)
    if profile.as_json:
        show(profile, items)
        return
    columns = _COLUMNS if endpoint else _MACHINES
    show(profile, [_line(item) for item in items], columns=("time", *columns) if history else columns)


def _newest(items: list[Resources]) -> list[Resources]:
    by_subject = {(item.subject, item.subject_id): item for item in items}
    return list(by_subject.values())


def _line(item: Resources) -> dict[str, Any]:
    memory = item.memory_bytes
    return {
        **msgspec.structs.asdict(item),
        "time": time.strftime("%H:%M", time.gmtime(item.bucket_ms / 1_000)),
        "instance": item.subject_id,
        "name": item.subject_id,
        "memory_mib": None if memory is None else round(memory / _MEBIBYTE),
        "kv_cache": item.kv_cache_fraction,
        "requests_per_s": item.rates.get("requests_per_s"),
    }
