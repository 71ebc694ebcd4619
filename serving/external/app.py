"""The program that represents an external engine: a relay on this host, with capture, as one instance."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Annotated

import aiohttp
import msgspec
import structlog

from infra.addresses import GrantedNetworks
from infra.arguments import take_no_arguments
from infra.background import Background
from infra.clock import SystemClock
from infra.errors import AddressNotGrantedError, CannotStartError
from infra.granted_connections import GrantedConnections
from infra.settings import load_settings
from infra.shutdown import run_program
from infra.stack.addresses import LOOPBACK
from schemas.envelope import rfc3339
from schemas.external_engine import ExternalEngine, read_description
from serving.capture.in_engine.rollbook_capture.middleware import PREFIX as CAPTURE_PREFIX
from serving.capture.in_engine.rollbook_capture.middleware import CaptureMiddleware as TextCapture
from serving.capture.middleware import Application, CaptureMiddleware, Receive, Scope, Send
from serving.external.adapter import AdapterRefusedError, ParentEngine, loaded_adapter
from serving.external.credentials import read_credential
from serving.external.grants import explain_grant
from serving.external.relay import Relay
from serving.external.rewording import Rewording
from serving.runtime.instance import Instance
from serving.runtime.instance_settings import InstanceSettings
from serving.runtime.load_failure import LoadFailure, leave_failure
from serving.runtime.manifest import ARTIFACT_NAME, FILES_NAME, Manifest, read_manifest
from serving.runtime.process_watch import watch_process
from serving.runtime.recording import recording
from serving.runtime.servers import listening, serving_http, wait_until_stopped

PREFIX = "ROLLBOOK_EXTERNAL_"
_CONNECT_S = 5.0
_PROBES = 4

_log = structlog.get_logger(__name__)


class ExternalSettings(InstanceSettings, frozen=True, kw_only=True):
    """Settings of the relay, from its environment."""

    credentials_dir: Annotated[Path, msgspec.Meta(description="folder with the credentials of external engines")]
    networks: Annotated[
        GrantedNetworks,
        msgspec.Meta(description="private networks that the server may be in; set by the agent"),
    ] = GrantedNetworks()
    answer_seconds: Annotated[float, msgspec.Meta(gt=0, description="longest pause of the server within an answer")] = (
        300.0
    )
    connections: Annotated[int, msgspec.Meta(ge=1, description="connections to the server")] = 256
    parent_host: Annotated[str, msgspec.Meta(description="for an adapter: address of its parent's engine")] = LOOPBACK
    adapter_dir: Annotated[
        Path | None, msgspec.Meta(description="for an adapter: its files, where its parent's engine can read them")
    ] = None
    parent_port: Annotated[
        int, msgspec.Meta(ge=0, le=65_535, description="for an adapter: port of its parent's engine")
    ] = 0
    parent_boot_id: Annotated[str, msgspec.Meta(description="for an adapter: boot id of that engine")] = ""
    parent_scores_prompts: Annotated[
        bool, msgspec.Meta(description="for an adapter: that engine supports prompt log probabilities")
    ] = False


def main(argv: list[str] | None = None) -> int:
    """Relay until stopped."""
    take_no_arguments("external", "Relay to a server that already runs, as an instance of a deployment.", argv)

    async def body(stopping: asyncio.Event) -> None:
        await run_relay(load_settings(ExternalSettings, PREFIX, os.environ), stopping)

    return run_program("external", body, drain_seconds=60)


async def run_relay(settings: ExternalSettings, stopping: asyncio.Event) -> None:
    """Relay until asked to stop."""
    manifest = read_manifest(settings.model_dir)
    async with AsyncExitStack() as stack:
        if settings.watch_pid:
            stack.enter_context(watch_process(settings.watch_pid, stopping.set))
        opened = _adapter(settings, manifest, stopping) if settings.parent_port else _relay(settings, manifest)
        engine, relay = await stack.enter_async_context(opened)
        application = await stack.enter_async_context(_capturing(settings, manifest, engine, relay))
        listener = stack.enter_context(listening(settings.host, settings.port))
        server = await stack.enter_async_context(
            serving_http(application, listener=listener, drain_s=settings.drain_seconds)
        )
        _log.info("relay_ready", instance_id=settings.instance_id, version=manifest.version_name)
        await wait_until_stopped(stopping, server)


class _Identified:
    """Reports whose process this is, as all our engines do, and counts the calls in progress."""

    def __init__(self, application: Application, instance: Instance) -> None:
        self._application = application
        self._instance = instance
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/rollbook/instance":
            content = msgspec.json.encode(self._instance.describe(in_flight=self._in_flight))
            headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
            await send({"type": "http.response.start", "status": int(HTTPStatus.OK), "headers": headers})
            await send({"type": "http.response.body", "body": content})
            return
        self._in_flight += 1
        try:
            await self._application(scope, receive, send)
        finally:
            self._in_flight -= 1


@asynccontextmanager
async def _adapter(
    settings: ExternalSettings, manifest: Manifest, stopping: asyncio.Event
) -> AsyncIterator[tuple[ExternalEngine, Relay]]:
    """Load the adapter into its parent's engine under the instance's id, and act as its instance."""
    parent = ParentEngine(host=settings.parent_host, port=settings.parent_port, boot_id=settings.parent_boot_id)
    engine = ExternalEngine(protocol="openai", url=parent.url, model=settings.instance_id)
    rewording = Rewording({"model": manifest.endpoint, "system_fingerprint": manifest.deployment_id})
    folder = (settings.adapter_dir or settings.model_dir / FILES_NAME).absolute()
    async with AsyncExitStack() as stack:
        # The engine is ours, and so is its address: it does not come from a description.
        session = await stack.enter_async_context(_session(settings, aiohttp.TCPConnector(limit=settings.connections)))
        probes = await stack.enter_async_context(_session(settings, aiohttp.TCPConnector(limit=_PROBES)))
        name, gone = settings.instance_id, stopping.set
        adapter = loaded_adapter(parent, name=name, folder=folder, session=session, when_gone=gone)
        try:
            await stack.enter_async_context(adapter)
        except AdapterRefusedError as error:
            leave_failure(settings.spool_dir, LoadFailure(code="adapter-refused", reason=str(error)))
            raise
        yield engine, Relay(engine, credential=None, session=session, probes=probes, rewording=rewording)


@asynccontextmanager
async def _relay(settings: ExternalSettings, manifest: Manifest) -> AsyncIterator[tuple[ExternalEngine, Relay]]:
    engine = read_description((settings.model_dir / ARTIFACT_NAME).read_bytes())
    try:
        named = engine.credential
        credential = read_credential(settings.credentials_dir, named, url=engine.url) if named else None
    except CannotStartError as error:
        leave_failure(settings.spool_dir, LoadFailure(code="credential-missing", reason=str(error)))
        raise
    connections = GrantedConnections(settings.networks)
    try:
        await connections.check(engine.url)
    except AddressNotGrantedError as error:
        reason = explain_grant(error)
        leave_failure(settings.spool_dir, LoadFailure(code="address-not-granted", reason=reason))
        raise CannotStartError(reason) from error
    async with (
        _session(settings, connections.connector(limit=settings.connections)) as session,
        _session(settings, connections.connector(limit=_PROBES)) as probes,
    ):
        # What is registered as language models may state no outputs.
        classes = next((output.classes for output in manifest.signature.outputs[:1]), ())
        yield engine, Relay(engine, credential=credential, session=session, probes=probes, classes=classes)


def _session(settings: ExternalSettings, connector: aiohttp.BaseConnector) -> aiohttp.ClientSession:
    # `connect` includes the wait for a free connection: if all are busy, another instance may have one.
    timeout = aiohttp.ClientTimeout(
        total=None, connect=_CONNECT_S, sock_connect=_CONNECT_S, sock_read=settings.answer_seconds
    )
    return aiohttp.ClientSession(timeout=timeout, connector=connector, auto_decompress=True)


@asynccontextmanager
async def _capturing(
    settings: ExternalSettings, manifest: Manifest, engine: ExternalEngine, relay: Relay
) -> AsyncIterator[Application]:
    """Capture texts as the middleware in vLLM does, and tensors as our runtime does."""
    if engine.protocol == "openai":
        capture = TextCapture(relay, _capture_environ(settings, manifest))
        try:
            yield capture
        finally:
            await asyncio.to_thread(capture.close)
        return
    async with recording(
        settings.spool_dir,
        policy_file=settings.capture_file,
        max_bytes=settings.spool_max_bytes,
        background=Background(),
    ) as recorder:
        instance = Instance(
            instance_id=settings.instance_id,
            boot_id=settings.boot_id,
            deployment_id=manifest.deployment_id,
            started_at=rfc3339(SystemClock().now_ms()),
        )
        yield _Identified(CaptureMiddleware(relay, recorder), instance)


def _capture_environ(settings: ExternalSettings, manifest: Manifest) -> Mapping[str, str]:
    values = {
        "SPOOL_DIR": str(settings.spool_dir),
        "SPOOL_MAX_BYTES": str(settings.spool_max_bytes),
        "BOOT_ID": settings.boot_id,
        "INSTANCE_ID": settings.instance_id,
        "DEPLOYMENT_ID": manifest.deployment_id,
        # A server that does not know the option would reject the call; without it, a stream's chunks are counted.
        "ASKS_FOR_USAGE": "1" if settings.parent_port else "0",
        # Calls that would crash the parent's engine are rejected here, as in the engine's own middleware.
        "REFUSES_PROMPT_LOGPROBS": "1" if settings.parent_port and not settings.parent_scores_prompts else "0",
        "POLICY_FILE": str(settings.capture_file),
    }
    return {CAPTURE_PREFIX + name: value for name, value in values.items()}


if __name__ == "__main__":
    raise SystemExit(main())
