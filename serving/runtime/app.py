"""The program "runtime": one model behind the Open Inference Protocol, in a process of its own."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import structlog
import uvicorn
import uvloop

from infra.arguments import take_no_arguments
from infra.clock import SystemClock
from infra.errors import CannotStartError, PortTakenError
from infra.logs import configure_logs
from infra.settings import load_settings
from infra.shutdown import run_until_stopped
from schemas.envelope import rfc3339
from serving.capture import records
from serving.capture.middleware import CaptureMiddleware
from serving.capture.policy_file import PolicyFile
from serving.capture.recorder import Recorder
from serving.capture.spool import SpoolLimits, SpoolWriter
from serving.engines.base import load_engine
from serving.engines.errors import CannotLoadError
from serving.runtime.instance import Instance
from serving.runtime.load_failure import LoadFailure, leave_failure
from serving.runtime.manifest import ARTIFACT_NAME, Manifest, read_manifest
from serving.runtime.model_host import ModelHost
from serving.runtime.oip_rest import OipRest
from serving.runtime.process_watch import watch_process

PREFIX = "ROLLBOOK_RUNTIME_"

# Envoy pools connections and closes idle ones itself (after an hour unless told otherwise). A server that closes them
# first resets requests that are just being sent, so ours waits longer than any gateway does.
_KEEP_ALIVE_S = 2 * 60 * 60
_MARK_INTERVAL_S = 0.25
_BACKLOG = 2_048

_log = structlog.get_logger(__name__)


class RuntimeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the runtime is told by its environment."""

    host: Annotated[str, msgspec.Meta(description="address to listen on")] = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535, description="port to listen on")]
    model_dir: Annotated[Path, msgspec.Meta(description="directory with the verified artifact and its manifest")]
    model_name: Annotated[str, msgspec.Meta(description="name under which callers know the model: the endpoint's")]
    spool_dir: Annotated[Path, msgspec.Meta(description="directory for captured predictions, one for each boot")]
    capture_file: Annotated[Path, msgspec.Meta(description="file with the capture policy, followed while it runs")]
    boot_id: Annotated[str, msgspec.Meta(description="identity of this boot of the engine")]
    instance_id: Annotated[str, msgspec.Meta(description="identity of the instance")]
    watch_pid: Annotated[int, msgspec.Meta(ge=0, description="end when this process is gone; 0 watches none")] = 0
    threads: Annotated[int, msgspec.Meta(ge=1, le=64, description="calls of the engine that run side by side")] = 1
    queue_bound: Annotated[int, msgspec.Meta(ge=0, description="predictions that may wait before 503 is answered")] = (
        256
    )
    max_body_bytes: Annotated[int, msgspec.Meta(ge=1_024, description="largest request body")] = 32 * 1024**2
    spool_max_bytes: Annotated[int, msgspec.Meta(ge=1_024**2, description="room for captured predictions")] = (
        256 * 1024**2
    )
    drain_seconds: Annotated[float, msgspec.Meta(gt=0, description="time for requests under way at a stop")] = 10.0


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: stopping is decided by the program."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def main(argv: list[str] | None = None) -> int:
    """Serve one model until stopped."""
    take_no_arguments("runtime", "Serve one model with the Open Inference Protocol.", argv)
    configure_logs("runtime")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run_until_stopped(_run, drain_seconds=60))


async def _run(stopping: asyncio.Event) -> None:
    settings = load_settings(RuntimeSettings, PREFIX, os.environ)
    manifest = read_manifest(settings.model_dir)
    host = ModelHost(threads=settings.threads, queue_bound=settings.queue_bound)
    async with AsyncExitStack() as stack:
        if settings.watch_pid:
            stack.enter_context(watch_process(settings.watch_pid, stopping.set))
        stack.callback(host.close)
        recorder = await stack.enter_async_context(_recording(settings, manifest))
        # Listening before the model is there lets the agent tell a slow start from a dead one.
        server = await stack.enter_async_context(_serving(settings, _application(settings, manifest, host, recorder)))
        await _load(settings, manifest, host)
        _log.info("instance_ready", instance_id=settings.instance_id, version=manifest.version_name)
        await _until_stopped(stopping, server)
        host.drain()
        _log.info("instance_draining", in_flight=host.in_flight)


def _application(
    settings: RuntimeSettings, manifest: Manifest, host: ModelHost, recorder: Recorder
) -> CaptureMiddleware:
    instance = Instance(
        instance_id=settings.instance_id,
        boot_id=settings.boot_id,
        deployment_id=manifest.deployment_id,
        started_at=rfc3339(SystemClock().now_ms()),
    )
    oip = OipRest(
        host,
        manifest=manifest,
        name=settings.model_name,
        instance=instance,
        max_body_bytes=settings.max_body_bytes,
    )
    return CaptureMiddleware(oip, recorder)


async def _load(settings: RuntimeSettings, manifest: Manifest, host: ModelHost) -> None:
    path = settings.model_dir / ARTIFACT_NAME
    try:
        host.serve(await asyncio.to_thread(load_engine, manifest.artifact.format, path, manifest.signature))
    except CannotLoadError as error:
        leave_failure(settings.spool_dir, LoadFailure(code=error.code, reason=str(error)))
        raise CannotStartError(str(error)) from error


async def _until_stopped(stopping: asyncio.Event, server: asyncio.Task[None]) -> None:
    asked = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait({asked, server}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        asked.cancel()
    if server.done() and not stopping.is_set():
        server.result()
        raise RuntimeError("the HTTP server ended by itself")


@asynccontextmanager
async def _recording(settings: RuntimeSettings, manifest: Manifest) -> AsyncIterator[Recorder]:
    limits = SpoolLimits(max_bytes=settings.spool_max_bytes)
    writer = SpoolWriter(settings.spool_dir, limits=limits, without_detail=records.without_detail)
    policy = PolicyFile(settings.capture_file)
    recorder = Recorder(writer, in_force=policy.read(), hash_key=manifest.endpoint_id.encode())
    recorder.start()
    marking = asyncio.ensure_future(_mark(recorder, policy))
    try:
        yield recorder
    finally:
        marking.cancel()
        await asyncio.to_thread(recorder.stop)


async def _mark(recorder: Recorder, policy: PolicyFile) -> None:
    while True:
        in_force = policy.replaced()
        if in_force is not None:
            recorder.follow(in_force)
        recorder.mark()
        await asyncio.sleep(_MARK_INTERVAL_S)


@asynccontextmanager
async def _serving(settings: RuntimeSettings, application: CaptureMiddleware) -> AsyncIterator[asyncio.Task[None]]:
    config = uvicorn.Config(
        application,
        loop="none",
        http="httptools",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, round(settings.drain_seconds)),
    )
    server = _Server(config)
    task = asyncio.ensure_future(server.serve(sockets=[_listening(settings.host, settings.port)]))
    try:
        yield task
    finally:
        server.should_exit = True
        await task


def _listening(host: str, port: int) -> socket.socket:
    # The protocol is named because asyncio switches Nagle's algorithm off only where it is.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise PortTakenError(port=port, purpose="an engine") from error
    return listener


if __name__ == "__main__":
    raise SystemExit(main())
