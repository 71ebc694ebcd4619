"""The program `batches`: OpenAI's files and batches, behind the gateway."""

import asyncio
import os
import secrets
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import structlog
from aiohttp import web

from infra.arguments import take_no_arguments
from infra.background import Background
from infra.clock import SystemClock
from infra.errors import CannotStartError
from infra.metrics import Metrics
from infra.settings import load_settings
from infra.shutdown import run_program
from infra.stack.addresses import LOOPBACK
from schemas.identifiers import Kind, new_id, uuid7
from workers.batch_server.asking import Gateway
from workers.batch_server.batches import Batches
from workers.batch_server.book import BatchBook
from workers.batch_server.control_plane import ControlPlane
from workers.batch_server.file_store import FileStore
from workers.batch_server.parts import Parts
from workers.batch_server.places import Places
from workers.batch_server.retention import Retention
from workers.batch_server.routes import application
from workers.batch_server.settings import PREFIX, BatchesSettings
from workers.batch_server.uploads import Uploads

_RANDOM_BITS = 80
_BACKLOG = 128
# A token may name a hundred endpoints.
_MAX_HEADER_BYTES = 64 * 1024
_SOCKET = Path("run") / "batches.sock"

_log = structlog.get_logger(__name__)


def main(argv: list[str] | None = None) -> int:
    """Run the batch server."""
    take_no_arguments("batches", "Run batches of requests from uploaded files.", argv)
    return run_program("batches", _run)


async def _run(stopping: asyncio.Event) -> None:
    settings = load_settings(BatchesSettings, PREFIX, os.environ)
    settings.ready_file.unlink(missing_ok=True)
    try:
        async with _opened(settings) as (parts, batches, retention):
            uploads = Uploads(parts.files, settings, folder=settings.data_dir / "batches", clock=parts.clock)
            app = application(parts.files, uploads, batches)
            background = Background()
            with _metrics(parts, background).served(settings.metrics_port, host=LOOPBACK):
                async with _served(app, settings.data_dir / _SOCKET):
                    batches.begin()
                    settings.ready_file.touch()
                    async with background.running({"batches-retention": retention.sweep_forever}):
                        await stopping.wait()
                    await batches.close()
    finally:
        settings.ready_file.unlink(missing_ok=True)


@asynccontextmanager
async def _opened(settings: BatchesSettings) -> AsyncIterator[tuple[Parts, Batches, Retention]]:
    folder, clock = settings.data_dir / "batches", SystemClock()

    def new_file_id() -> str:
        return f"file-{uuid7(now_ms=clock.now_ms(), randomness=secrets.randbits(_RANDOM_BITS))}"

    def new_batch_id() -> str:
        return new_id(Kind.BATCH, now_ms=clock.now_ms(), randomness=secrets.randbits(_RANDOM_BITS))

    files, book = FileStore(folder / "files", new_id=new_file_id), BatchBook(folder / "runs")
    try:
        await asyncio.to_thread(files.open)
        await asyncio.to_thread(book.open)
    except OSError as error:
        raise CannotStartError(f"the folder {folder} cannot be used ({error}); repair it") from error
    plane = ControlPlane(settings.api_url, token_file=settings.token_file)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(plane.close)
        connector = aiohttp.TCPConnector(limit=settings.requests_at_once)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        parts = Parts(
            plane=plane,
            gateway=Gateway(settings.gateway_url, session, request_s=settings.request_seconds),
            book=book,
            files=files,
            clock=clock,
            settings=settings,
            places=Places(settings.requests_at_once),
            checking=asyncio.Semaphore(1),
        )
        batches = Batches(parts, new_id=new_batch_id, new_file_id=new_file_id)
        stack.push_async_callback(batches.close)
        yield parts, batches, Retention(parts, batches)


@asynccontextmanager
async def _served(app: web.Application, path: Path) -> AsyncIterator[None]:
    runner = web.AppRunner(
        app, access_log=None, max_field_size=_MAX_HEADER_BYTES, max_line_size=_MAX_HEADER_BYTES, shutdown_timeout=3.0
    )
    await runner.setup()
    try:
        with _listening(path) as listening:
            await web.SockSite(runner, listening, backlog=_BACKLOG).start()
            _log.info("batches_ready", socket=str(path))
            yield
    finally:
        await runner.cleanup()


def _listening(path: Path) -> socket.socket:
    """Open the socket, for this user only: whoever connects is trusted to say who the caller is."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    listening = socket.socket(socket.AF_UNIX)
    # The kernel limits a socket's path to 107 bytes; a deep data directory has a short name below /proc.
    name = f"/proc/self/fd/{folder}/{path.name}"
    before = os.umask(0o177)
    try:
        listening.bind(name)
    except OSError:
        listening.close()
        raise
    finally:
        os.umask(before)
        os.close(folder)
    return listening


def _metrics(parts: Parts, background: Background) -> Metrics:
    metrics = Metrics()
    background.show_in(metrics)

    def by_status() -> dict[str, float]:
        return dict(Counter(parts.book.statuses()))

    metrics.gauges("rollbook_batches", "Known batches.", label="status", read=by_status)
    metrics.gauge("rollbook_batches_files", "Stored files.", lambda: parts.files.count)
    metrics.gauge("rollbook_batches_file_bytes", "Size of stored files.", lambda: parts.files.size_bytes)
    metrics.counter("rollbook_batches_asked", "Requests sent to the gateway.", lambda: parts.gateway.asked)
    metrics.counter(
        "rollbook_batches_retried", "Requests that had to wait and try again.", lambda: parts.gateway.retried
    )
    return metrics
