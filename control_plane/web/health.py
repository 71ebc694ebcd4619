"""GET /healthz and /readyz: the process answers; it takes commands, and what it stands on."""

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec

from control_plane.errors import RollbookError
from control_plane.ports import EventStore
from control_plane.web.shared_probe import SharedProbe
from infra.background import Background
from infra.clock import Clock
from infra.operations import PUBLIC, Caller, Content, Operations, Question

Probe = Callable[[], Awaitable[bool]]
_OK, _UNAVAILABLE = 200, 503
_PROBE_S = 1.0
_DISK_S = 5.0
_MAX_AGE_S = 1.0
_PROBE_BYTES = 4_096


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The process runs."""

    status: Literal["ok"] = "ok"


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """Commands need the store alone; queries need ClickHouse, feedback needs Kafka.

    `failing` names the work of the API, such as its one writer of events, that met an error within the last minute and
    went on.
    """

    status: Literal["ready", "unavailable"]
    store: Literal["ok", "unavailable"]
    position: int
    parts: dict[str, Literal["ok", "unavailable"]]
    failing: tuple[str, ...]
    gateway_url: str


def operations(
    store: EventStore,
    probes: Mapping[str, Probe],
    *,
    background: Background,
    data_dir: Path,
    gateway_url: str,
    clock: Clock,
) -> Operations:
    """Declare them; `probes` are the parts that the API works without, `data_dir` is where it must write.

    Anybody may ask for readiness as often as they like: what it costs is spent once a second at most.
    """
    # A disk that hangs holds one thread, however often somebody asks.
    disk = SharedProbe(partial(asyncio.to_thread, _takes_writes, data_dir), max_age_s=0, clock=clock)

    async def look() -> list[bool]:
        return await asyncio.gather(
            _answers(disk.outcome, within_s=_DISK_S), *(_answers(probe) for probe in probes.values())
        )

    looked = SharedProbe(look, max_age_s=_MAX_AGE_S, clock=clock)

    async def readyz(_caller: Caller) -> Content:
        is_writable, *states = await looked.outcome()
        # Never from an earlier look: callers wait for this position.
        position = await asyncio.to_thread(_position, store) if is_writable else None
        found = Readiness(
            status="unavailable" if position is None else "ready",
            store="unavailable" if position is None else "ok",
            position=position or 0,
            parts={name: "ok" if state else "unavailable" for name, state in zip(probes, states, strict=True)},
            failing=background.failing,
            gateway_url=gateway_url,
        )
        return Content(body=msgspec.json.encode(found), status=_UNAVAILABLE if position is None else _OK)

    return Operations(
        "health",
        [
            Question(
                method="GET",
                path="/healthz",
                handler=healthz,
                sdk="health.live",
                answers=Health,
                roles=PUBLIC,
                is_for_watchers=True,
                summary="Tell whether the process answers",
            ),
            Question(
                method="GET",
                path="/readyz",
                handler=readyz,
                sdk="health.ready",
                answers=Readiness,
                also=(_UNAVAILABLE,),
                roles=PUBLIC,
                is_for_watchers=True,
                summary="Tell whether the API accepts commands, with the state of what it depends on",
            ),
        ],
    )


async def healthz(_caller: Caller) -> Health:
    """Say that the process answers."""
    return Health()


def _position(store: EventStore) -> int | None:
    """Return the log's head, or None where it cannot be read."""
    try:
        return store.head()
    except RollbookError:
        return None


def _takes_writes(data_dir: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=data_dir) as probe:
            probe.write(bytes(_PROBE_BYTES))
            probe.flush()
            os.fsync(probe.fileno())
    except OSError:
        return False
    return True


async def _answers(probe: Probe, *, within_s: float = _PROBE_S) -> bool:
    try:
        return await asyncio.wait_for(probe(), timeout=within_s)
    except TimeoutError:
        return False
