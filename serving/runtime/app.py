"""The program "runtime": serves models over the Open Inference Protocol, in a separate process."""

import asyncio
import gc
import os
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated

import msgspec
import structlog
import uvloop

from infra.arguments import take_no_arguments
from infra.background import Background
from infra.clock import SystemClock
from infra.confinement.confine import confine_as_told
from infra.errors import CannotStartError
from infra.logs import configure_logs
from infra.settings import load_settings
from infra.shutdown import ended_or_set, run_until_stopped
from infra.tracing import OtlpEndpoint, tracing
from schemas.envelope import rfc3339
from serving.capture.middleware import CaptureMiddleware
from serving.engines.errors import CannotLoadError
from serving.runtime.admission import Intake, MemoryBudget
from serving.runtime.instance import Instance
from serving.runtime.instance_settings import InstanceSettings
from serving.runtime.load_failure import LoadFailure, leave_failure
from serving.runtime.manifest import Manifest, read_manifest
from serving.runtime.model_host import HostLimits
from serving.runtime.oip_grpc import OipGrpc
from serving.runtime.oip_rest import OipRest
from serving.runtime.process_watch import watch_process
from serving.runtime.recording import recording
from serving.runtime.repository import ModelRepository
from serving.runtime.servers import listening, private_socket, serving_grpc, serving_http, wait_until_stopped

PREFIX = "ROLLBOOK_RUNTIME_"
DRAIN_LIMIT_S = 60.0
"""Requests not answered this long after a stop are aborted."""

_log = structlog.get_logger(__name__)


class RuntimeSettings(InstanceSettings, frozen=True, kw_only=True):
    """Settings of the runtime, from its environment."""

    model_name: Annotated[str, msgspec.Meta(description="name that callers use for the model: the endpoint's")]
    threads: Annotated[int, msgspec.Meta(ge=1, le=64, description="concurrent calls of the engine")] = 1
    queue_bound: Annotated[int, msgspec.Meta(ge=0, description="predictions that may wait; further ones get a 503")] = (
        256
    )
    batch_ms: Annotated[float, msgspec.Meta(gt=0, description="longest call that batches waiting predictions")] = 50.0
    intake_bytes: Annotated[int, msgspec.Meta(ge=1_024**2, description="bytes of requests that may be in progress")] = (
        256 * 1024**2
    )
    memory_limit_bytes: Annotated[
        int, msgspec.Meta(ge=0, description="memory limit of the process when it loads another model; 0: none")
    ] = 0
    memory_reserve_bytes: Annotated[
        int, msgspec.Meta(ge=0, description="memory of the machine that must stay free when a model is loaded")
    ] = 256 * 1024**2
    repository_dir: Annotated[
        Path | None, msgspec.Meta(description="directory of more models to load on demand, one folder each")
    ] = None
    max_body_bytes: Annotated[int, msgspec.Meta(ge=1_024, description="largest request body")] = 32 * 1024**2
    otlp_endpoint: OtlpEndpoint = None


def main(argv: list[str] | None = None) -> int:
    """Serve one model until stopped."""
    take_no_arguments("runtime", "Serve one model with the Open Inference Protocol.", argv)
    configure_logs("runtime")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run_until_stopped(_run, drain_seconds=DRAIN_LIMIT_S))


async def _run(stopping: asyncio.Event) -> None:
    confine_as_told(os.environ)
    await serve_instance(load_settings(RuntimeSettings, PREFIX, os.environ), stopping)


async def serve_instance(settings: RuntimeSettings, stopping: asyncio.Event) -> None:
    """Serve one model on its own port until stopped; then finish what is in progress.

    Raises:
        CannotStartError: the model cannot be loaded, or the port is taken.
    """
    manifest = read_manifest(settings.model_dir)
    async with AsyncExitStack() as stack:
        if settings.watch_pid:
            stack.enter_context(watch_process(settings.watch_pid, stopping.set))
        repository = _repository(settings)
        stack.callback(repository.close)
        # Listening before the model is loaded lets the agent distinguish a slow start from a dead one.
        server = await _serve(stack, settings, manifest, repository)
        if not await _is_loaded(settings, repository, stopping):
            return
        # A full garbage collection over libraries and model delays requests by a tenth of a second.
        gc.collect()
        gc.freeze()
        _log.info("instance_ready", instance_id=settings.instance_id, version=manifest.version_name)
        await wait_until_stopped(stopping, server)
        repository.drain()
        _log.info("instance_draining", in_flight=repository.in_flight)


def _repository(settings: RuntimeSettings) -> ModelRepository:
    return ModelRepository(
        main=settings.model_name,
        main_directory=settings.model_dir,
        shared=settings.repository_dir,
        limits=HostLimits(threads=settings.threads, queue_bound=settings.queue_bound, batch_ms=settings.batch_ms),
        memory=MemoryBudget(limit_bytes=settings.memory_limit_bytes, reserve_bytes=settings.memory_reserve_bytes),
    )


async def _serve(
    stack: AsyncExitStack, settings: RuntimeSettings, manifest: Manifest, repository: ModelRepository
) -> asyncio.Task[None]:
    listener = stack.enter_context(listening(settings.host, settings.port))
    background = Background()
    captured = recording(
        settings.spool_dir,
        policy_file=settings.capture_file,
        max_bytes=settings.spool_max_bytes,
        background=background,
    )
    recorder = await stack.enter_async_context(captured)
    intake = Intake(limit_bytes=settings.intake_bytes)
    instance = Instance(
        instance_id=settings.instance_id,
        boot_id=settings.boot_id,
        deployment_id=manifest.deployment_id,
        started_at=rfc3339(SystemClock().now_ms()),
    )
    path = stack.enter_context(private_socket())
    rest = OipRest(
        repository,
        instance=instance,
        intake=intake,
        background=background,
        max_body_bytes=settings.max_body_bytes,
    )
    traced = stack.enter_context(tracing("runtime", settings.otlp_endpoint))
    application = traced(CaptureMiddleware(rest, recorder))
    drain_s = settings.drain_seconds
    http = serving_http(application, listener=listener, grpc_socket=path, drain_s=drain_s)
    server = await stack.enter_async_context(http)
    # Entered after HTTP, so that it exits first: its connections are HTTP's too, which waits until they are closed.
    handler = OipGrpc(repository, intake=intake, recorder=recorder).handler()
    over_grpc = serving_grpc(handler, path=path, max_body_bytes=settings.max_body_bytes, drain_s=drain_s)
    await stack.enter_async_context(over_grpc)
    return server


async def _is_loaded(settings: RuntimeSettings, repository: ModelRepository, stopping: asyncio.Event) -> bool:
    """Load the model; return False, without waiting for the load, if the instance is to stop first."""
    loading = asyncio.ensure_future(_load(settings, repository))
    try:
        await ended_or_set(loading, stopping)
        if loading.done():
            loading.result()
        return loading.done()
    finally:
        loading.cancel()


async def _load(settings: RuntimeSettings, repository: ModelRepository) -> None:
    try:
        await repository.load(settings.model_name)
    except CannotLoadError as error:
        leave_failure(settings.spool_dir, LoadFailure(code=error.code, reason=str(error)))
        raise CannotStartError(str(error)) from error


if __name__ == "__main__":
    raise SystemExit(main())
