"""A supervisor's plan: programs as data, and checks for when one is ready."""

import asyncio
import os
import ssl
import urllib.parse
from collections.abc import Sequence

import msgspec
import psutil

from infra.errors import CannotStartError

_CHECK_SECONDS = 2.0


class HttpReady(msgspec.Struct, frozen=True, tag="http"):
    """Ready when a GET of the URL answers with a status below 300."""

    url: str


class TcpReady(msgspec.Struct, frozen=True, tag="tcp"):
    """Ready when the address takes a connection."""

    host: str
    port: int


class FileReady(msgspec.Struct, frozen=True, tag="file"):
    """Ready when the program has written the file; the supervisor removes it before each start."""

    path: str


class AliveReady(msgspec.Struct, frozen=True, tag="alive"):
    """Ready as soon as it runs."""


Readiness = HttpReady | TcpReady | FileReady | AliveReady


class RestartPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How long to wait before the next start: doubled after each death, with jitter, up to a ceiling."""

    first_seconds: float = 0.1
    ceiling_seconds: float = 10.0
    # A program that was ready for so long begins again with the first wait.
    forget_after_seconds: float = 20.0
    # More deaths than this before the program was ever ready end the whole start.
    deaths_before_ready: int = 5

    def wait_seconds(self, deaths: int) -> float:
        return min(self.ceiling_seconds, self.first_seconds * 2.0 ** max(0, min(deaths, 32) - 1))


class ProgramSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One process of the stack."""

    name: str
    argv: tuple[str, ...]
    environment: dict[str, str] = {}
    depends_on: tuple[str, ...] = ()
    ready: Readiness = AliveReady()
    ready_seconds: float = 60.0
    stop_seconds: float = 10.0
    addresses: tuple[str, ...] = ()
    metrics: str | None = None
    restart: RestartPolicy = RestartPolicy()
    region: str = ""


def check_plan(plan: Sequence[ProgramSpec]) -> None:
    """Refuse doubled names, unknown dependencies and circles."""
    names = [program.name for program in plan]
    if len(set(names)) != len(names):
        raise CannotStartError(f"the plan names a program twice: {', '.join(sorted(names))}")
    placed: set[str] = set()
    waiting = list(plan)
    while waiting:
        free = [program for program in waiting if placed.issuperset(program.depends_on)]
        if not free:
            stuck = ", ".join(program.name for program in waiting)
            raise CannotStartError(f"these programs wait for one another or for one that is not in the plan: {stuck}")
        placed.update(program.name for program in free)
        waiting = [program for program in waiting if program.name not in placed]


async def is_ready(check: Readiness) -> bool:
    """Look once; never raises for a program that is not there yet."""
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            match check:
                case HttpReady(url=url):
                    return await _answers(url)
                case TcpReady(host=host, port=port):
                    _, writer = await asyncio.open_connection(host, port)
                    writer.close()
                    return True
                case FileReady(path=path):
                    return os.path.exists(path)  # noqa: ASYNC240, PTH110 - one look at a local file
                case AliveReady():
                    return True
    except (OSError, TimeoutError, ValueError):
        return False


def is_of_process(check: Readiness, pid: int) -> bool:
    """Whether the process or a child of it listens where the check asked; another program may have taken the port.

    True as well where the system does not say who listens.
    """
    port = _port_of(check)
    if port is None:
        return True
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        return any(_listens(one, port) for one in family)
    except psutil.AccessDenied:
        return True
    except psutil.NoSuchProcess:
        return False


def _port_of(check: Readiness) -> int | None:
    match check:
        case HttpReady(url=url):
            return urllib.parse.urlsplit(url).port
        case TcpReady(port=port):
            return port
        case _:
            return None


def _listens(process: psutil.Process, port: int) -> bool:
    connections = process.net_connections("tcp")
    return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in connections)


async def _answers(url: str) -> bool:
    # One line of HTTP needs no client library in the process that must never fail.
    parts = urllib.parse.urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    context = ssl.create_default_context() if parts.scheme == "https" else None
    reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=context)
    try:
        path = parts.path or "/"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        status = int((await reader.readline()).split()[1])
    except IndexError:
        return False
    finally:
        writer.close()
    return 200 <= status < 300  # noqa: PLR2004 - the successes of HTTP
