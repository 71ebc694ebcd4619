"""What the engine of an instance may use: its model, its spool, its port, and the libraries that it needs."""

import os
import re
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec
import psutil

from infra.confinement.confine import READ_ON_ANY_HOST, Confinement, folders_of_programs, protection_of_this_host
from infra.errors import CannotStartError
from workers.serving_agent.launchers.base import Order
from workers.serving_agent.settings import AgentSettings
from workers.serving_agent.spool_sources import FRAMES

_PART_OF_MEMORY = 0.75
_MAX_FILE_BYTES = 1024**3
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
        writes=(str(settings.directory / FRAMES),),
        # Nor is it known on which ports.
        listens=None,
        connects=_port_of(settings.otlp_endpoint),
        memory_bytes=settings.engine_memory_bytes,
    )


def home_of(order: Order) -> dict[str, str]:
    """Return where an engine keeps what it writes for itself; the home of whoever runs the agent is not for it.

    Python must not run at its start, before it is confined, what an earlier engine left in its home.
    """
    folders = dict.fromkeys(("HOME", "TMPDIR", "XDG_CACHE_HOME"), str(order.scratch))
    return {**folders, "PYTHONNOUSERSITE": "1"}


def bounded(confinement: Confinement | None) -> Confinement | None:
    """Bound an engine that does not size itself: its memory to a part of the machine's, unless the operator says."""
    if confinement is None:
        return None
    memory = confinement.memory_bytes or int(psutil.virtual_memory().total * _PART_OF_MEMORY)
    return msgspec.structs.replace(confinement, memory_bytes=memory, file_bytes=_MAX_FILE_BYTES)


def what_is_missing(settings: AgentSettings, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Say what the confinement of this host's engines does not stop; empty if nothing is missing."""
    if settings.engine_confinement == "off":
        return ("engines are not confined: ROLLBOOK_AGENT_ENGINE_CONFINEMENT is off",)
    found = protection_of_this_host()
    in_force = {
        "the kernel has no Landlock (Linux 5.13 or later, and switched on), so engines can read files": found.files,
        "the kernel cannot restrict TCP ports (Linux 6.7 or later can), so engines can connect anywhere": found.ports,
        "the kernel cannot restrict signals (Linux 6.12 or later can), so engines can end our programs": found.signals,
        "there is no filter of system calls for this kind of machine": found.calls,
        "engines cannot look up the name of an HTTPS collector (ROLLBOOK_AGENT_OTLP_ENDPOINT), so they send no traces; "
        "give its address": not _is_name_over_tls(settings.otlp_endpoint),
    }
    lacks = (sentence for sentence, is_in_force in in_force.items() if not is_in_force)
    data = settings.data_dir.resolve()
    in_the_way = (
        f"the data directory {data} is inside {folder}, which engines need to read; move it"
        for folder in dict.fromkeys((*map(Path, READ_ON_ANY_HOST), *folders_of_programs(environ)))
        if data.is_relative_to(folder)
    )
    return (*lacks, *in_the_way)


def require_confinement(settings: AgentSettings, *, missing: Sequence[str]) -> None:
    """Refuse to start engines that are not confined, where the operator requires that they are.

    Raises:
        CannotStartError: something is missing.
    """
    if settings.engine_confinement == "required" and missing:
        raise CannotStartError(
            f"engines cannot be confined: {'; '.join(missing)}. ROLLBOOK_AGENT_ENGINE_CONFINEMENT=possible starts them "
            "with what there is"
        )


def reachable(url: str) -> str:
    """Write a collector's address so that a confined engine, which cannot look names up, reaches it.

    Names stay in an HTTPS address, whose certificate is for them; `what_is_missing` tells.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        return url
    try:
        address = socket.gethostbyname(parts.hostname)
    except OSError:
        return url
    port = f":{parts.port}" if parts.port else ""
    return parts._replace(netloc=f"{address}{port}").geturl()


def _port_of(url: str | None) -> tuple[int, ...]:
    if url is None:
        return ()
    parts = urlsplit(url)
    port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    return (port,) if port else ()


def _is_name_over_tls(url: str | None) -> bool:
    parts = urlsplit(url or "")
    return parts.scheme == "https" and not re.fullmatch(r"[0-9.]+|.*:.*", parts.hostname or "")


def _cores(count: int, port: int) -> tuple[int, ...]:
    """Choose cores for an engine; ports differ, so engines are spread over all cores."""
    if not count or not hasattr(os, "sched_getaffinity"):
        return ()
    cores = sorted(os.sched_getaffinity(0))
    first = port * count
    return tuple(sorted({cores[(first + number) % len(cores)] for number in range(min(count, len(cores)))}))
