"""The delta ADS server on loopback: connects each Envoy's stream to gRPC and passes every change to all streams."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import structlog
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2

from infra.stack.addresses import LOOPBACK
from serving.gateway.ads_store import AdsStore
from serving.gateway.ads_stream import AdsStream, OnTaken
from serving.gateway.resources import Update

_MAX_MESSAGE_BYTES = 64 * 1024 * 1024
_OPTIONS = (
    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),
    # Envoy pings every 10 s. By default, the fourth ping without a change in between ends its stream.
    ("grpc.http2.max_ping_strikes", 0),
)

_log = structlog.get_logger(__name__)


class AdsServer(ads_pb2_grpc.AggregatedDiscoveryServiceServicer):  # type: ignore[misc]  # generated, untyped
    """Serves the newest state; an Envoy that reconnects is only sent what differs from what it has."""

    def __init__(self) -> None:
        self._store = AdsStore()
        self._streams: set[AdsStream] = set()
        self._server: grpc.aio.Server | None = None
        self._on_taken: OnTaken = _refuse_before_start

    @property
    def gateway_ids(self) -> list[str]:
        """Return the node ids of the connected Envoys."""
        return sorted(stream.node_id for stream in self._streams if stream.node_id)

    def put(self, update: Update) -> int:
        """Take an update, start sending it, and return how many resources have changed."""
        changed = self._store.put(update)
        if changed:
            for stream in self._streams:
                stream.touch(changed)
        return len(changed)

    async def start(self, *, port: int, on_taken: OnTaken) -> None:
        """Listen on loopback; `on_taken` receives what Envoy has acknowledged.

        Raises:
            RuntimeError: the port is taken.
        """
        self._on_taken = on_taken
        self._server = grpc.aio.server(options=_OPTIONS)
        ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(self, self._server)
        self._server.add_insecure_port(f"{LOOPBACK}:{port}")
        await self._server.start()

    async def stop(self) -> None:
        """Close the streams; Envoy keeps what it has and reconnects."""
        if self._server:
            await self._server.stop(grace=0.2)

    async def DeltaAggregatedResources(  # noqa: N802 - the name is the protocol's
        self, requests: AsyncIterator[discovery_pb2.DeltaDiscoveryRequest], _context: grpc.aio.ServicerContext
    ) -> AsyncIterator[discovery_pb2.DeltaDiscoveryResponse]:
        """Serve one Envoy until it disconnects."""
        stream = AdsStream(self._store, on_taken=self._on_taken)
        self._streams.add(stream)
        reading = asyncio.create_task(_read(requests, stream))
        sending = asyncio.create_task(stream.send_changes())
        try:
            while response := await _next_response(stream, reading, sending):
                yield response
        finally:
            self._streams.discard(stream)
            reading.cancel()
            sending.cancel()
            _log.info("gateway_disconnected", gateway_id=stream.node_id)


async def _read(requests: AsyncIterator[discovery_pb2.DeltaDiscoveryRequest], stream: AdsStream) -> None:
    async for request in requests:
        if not stream.node_id:
            _log.info("gateway_connected", gateway_id=request.node.id)
        stream.receive(request)


async def _next_response(
    stream: AdsStream, reading: asyncio.Task[None], sending: asyncio.Task[None]
) -> discovery_pb2.DeltaDiscoveryResponse | None:
    """Wait for something to send, or return None when Envoy is gone. A bug in the stream ends it loudly."""
    if not stream.outbox.empty():
        return stream.outbox.get_nowait()
    waiting = asyncio.create_task(stream.outbox.get())
    done, _ = await asyncio.wait({waiting, reading, sending}, return_when=asyncio.FIRST_COMPLETED)
    if waiting in done:
        return waiting.result()
    waiting.cancel()
    for task in done:
        task.result()
    return None


def _refuse_before_start(_type_url: str, _names: list[str]) -> None:
    raise AssertionError("a stream cannot begin before the server is started")
