"""What the engine of an instance may use: its model, its spool, its port, and the libraries that it needs."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec
import psutil

from infra.confinement.confine import READ_ON_ANY_HOST, Confinement, folders_of_programs, protection_of_this_host
from infra.errors import CannotStartError
from workers.serving_agent.launchers.base import Order
from workers.serving_agent.settings import AgentSettings

_PART_OF_MEMORY = 0.75
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def confinement_of(settings: AgentSettings, order: Order) -> Confinement | None:
    """Return what any engine may use that serves one deployment, or None where the operator wants none."""
    if settings.engine_confinement == "off":
        return None
    return Confinement(
        reads=(
            str(order.model),
            str(order.capture.parent),
            *map(str, settings.engine_reads),
        ),
        writes=(str(order.spool),),
        scratch=(str(order.scratch),),
        listens=(order.record.port,),
        connects=_port_of(settings.otlp_endpoint),
        memory_bytes=settings.engine_memory_bytes,
        cpus=_cores(settings.engine_cores, order.record.port),
    )


def confinement_of_several(settings: AgentSettings, *, workspace: str) -> Confinement | None:
    """Return what a process may use to which instances of a workspace are added later.

    A confined process never gets more, so this is what all of them may use: the models and spools of this host.
    """
    if settings.engine_confinement == "off":
        return None
    return Confinement(
        reads=(str(settings.directory / "models"), str(settings.capture_folder_of(workspace))),
        writes=(str(settings.directory / "spool"),),
        # Nor is it known on which ports.
        listens=None,
        connects=_port_of(settings.otlp_endpoint),
        memory_bytes=settings.engine_memory_bytes,
    )


def home_of(order: Order) -> dict[str, str]:
    """Return where an engine keeps what it writes for itself; the home of whoever runs the agent is not for it."""
    return dict.fromkeys(("HOME", "TMPDIR", "XDG_CACHE_HOME"), str(order.scratch))


def bounded(confinement: Confinement | None) -> Confinement | None:
    """Bound the memory of an engine that does not size itself: to a part of the machine's, unless the operator says."""
    if confinement is None or confinement.memory_bytes:
        return confinement
    return msgspec.structs.replace(confinement, memory_bytes=int(psutil.virtual_memory().total * _PART_OF_MEMORY))


def what_is_missing(settings: AgentSettings, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Say what the confinement of this host's engines does not stop; empty if nothing is missing."""
    if settings.engine_confinement == "off":
        return ("engines are not confined: ROLLBOOK_AGENT_ENGINE_CONFINEMENT is off",)
    found = protection_of_this_host()
    missing = {
        "the kernel has no Landlock (Linux 5.13 or later, and switched on), so engines can read files": found.files,
        "the kernel cannot restrict TCP ports (Linux 6.7 or later can), so engines can connect anywhere": found.ports,
        "the kernel cannot restrict signals (Linux 6.12 or later can), so engines can end our programs": found.signals,
        "there is no filter of system calls for this kind of machine": found.calls,
        **_folders_in_the_way(settings, environ),
    }
    return tuple(sentence for sentence, is_there in missing.items() if not is_there)


def require_confinement(settings: AgentSettings, environ: Mapping[str, str]) -> None:
    """Refuse to start engines that are not confined, where the operator requires that they are.

    Raises:
        CannotStartError: something is missing.
    """
    missing = what_is_missing(settings, environ)
    if settings.engine_confinement == "required" and missing:
        raise CannotStartError(
            f"engines cannot be confined: {'; '.join(missing)}. ROLLBOOK_AGENT_ENGINE_CONFINEMENT=possible starts them "
            "with what there is"
        )


def _folders_in_the_way(settings: AgentSettings, environ: Mapping[str, str]) -> dict[str, bool]:
    """A folder that every engine reads must not hold our data."""
    data = settings.data_dir.resolve()
    open_to_all: Iterable[Path] = (*map(Path, READ_ON_ANY_HOST), *folders_of_programs(environ))
    return {
        f"the data directory {data} is inside {folder}, which engines need to read; move it": False
        for folder in dict.fromkeys(open_to_all)
        if data.is_relative_to(folder)
    }


def _port_of(url: str | None) -> tuple[int, ...]:
    if url is None:
        return ()
    parts = urlsplit(url)
    port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    return (port,) if port else ()


def _cores(count: int, port: int) -> tuple[int, ...]:
    """Choose cores for an engine; ports differ, so engines are spread over all cores."""
    if not count or not hasattr(os, "sched_getaffinity"):
        return ()
    cores = sorted(os.sched_getaffinity(0))
    first = port * count
    return tuple(sorted({cores[(first + number) % len(cores)] for number in range(min(count, len(cores)))}))
