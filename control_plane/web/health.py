"""GET /healthz and /readyz: the process answers; it takes commands, and what it stands on."""

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from control_plane.errors import RollbookError
from control_plane.ports import EventStore
from infra.background import Background
from infra.operations import PUBLIC, Caller, Content, Operations, Question

Probe = Callable[[], Awaitable[bool]]
_OK, _UNAVAILABLE = 200, 503
_PROBE_S = 1.0
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
    store: EventStore, probes: Mapping[str, Probe], *, background: Background, data_dir: Path, gateway_url: str
) -> Operations:
    """Declare them; `probes` are the parts that the API works without, `data_dir` is where it must write."""

    async def readyz(_caller: Caller) -> Content:
        position, *states = await asyncio.gather(
            asyncio.to_thread(_position, store, data_dir), *(_answers(probe) for probe in probes.values())
        )
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
                summary="Tell whether the API accepts commands, with the state of what it depends on",
            ),
        ],
    )


async def healthz(_caller: Caller) -> Health:
    """Say that the process answers."""
    return Health()


def _position(store: EventStore, data_dir: Path) -> int | None:
    """Return the log's head, or None where it cannot be read or the disk takes nothing."""
    try:
        with tempfile.TemporaryFile(dir=data_dir) as probe:
            probe.write(bytes(_PROBE_BYTES))
            probe.flush()
            os.fsync(probe.fileno())
        return store.head()
    except (RollbookError, OSError):
        return None


async def _answers(probe: Probe) -> bool:
    try:
        return await asyncio.wait_for(probe(), timeout=_PROBE_S)
    except TimeoutError:
        return False
