"""Runs sinks under Faust, in the one way that loses nothing.

Faust acknowledges a batch taken with `take` even when the code that handled it failed, and may commit past a message
in flight when acknowledgements come out of order. So: `noack_take`, one stream a topic, acknowledgement by hand, in
order, after the effect; trouble is waited out in place; what cannot pass ends the process, and the next one resumes.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias, cast

import faust
import msgspec
import structlog
from faust.auth import SASLCredentials, SSLCredentials
from faust.streams import Stream
from faust.types import TP, EventT, StreamT
from faust.types.auth import CredentialsArg

from infra.kafka.connection import KafkaConnection
from projections.messages import Message
from projections.sink.sink import Sink
from schemas.topics import Topic

Handler: TypeAlias = Callable[..., Any]

_log = structlog.get_logger(__name__)

_SESSION_TIMEOUT_S = 10.0
_HEARTBEAT_S = 2.0
_MAX_BUFFERED = 1_024
# A partition's share of one fetch; the default of 1 MiB is nine batches, too few for a large insert.
_FETCH_BYTES = 8 * 1024 * 1024


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """A topic, its sink, and how many messages gathered for how long at most make one insert."""

    topic: Topic
    sink: Sink
    max_messages: int
    flush_s: float


class WorkerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a Faust worker joins its group. Two workers need two members and two data directories."""

    group: str
    member: str
    connection: KafkaConnection
    data_dir: Path


class Deliveries:
    """Joins what Faust fetched to what a sink settled, and reports progress to the watchdog."""

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription
        self._waiting: dict[tuple[int, int], EventT[bytes]] = {}
        self.next_offsets: dict[int, int] = {}
        self.settled_messages = 0
        self.is_writing = False

    async def handle(self, events: Sequence[EventT[bytes]]) -> None:
        """Give events their effect, then acknowledge what is settled, in order."""
        self._waiting |= {(event.message.partition, event.message.offset): event for event in events}
        self.is_writing = True
        try:
            settled = await self._subscription.sink.consume([_message(event) for event in events])
        finally:
            self.is_writing = False
        for message in settled:
            event = self._waiting.pop((message.partition, message.offset), None)
            if event is not None:
                event.ack()
            self.next_offsets[message.partition] = message.offset + 1
        self.settled_messages += len(settled)

    def forget(self, partitions: set[int]) -> None:
        """Drop what belongs to partitions that were taken away; it comes again to whoever has them next."""
        self._subscription.sink.forget(partitions)
        self._waiting = {at: event for at, event in self._waiting.items() if at[0] not in partitions}
        self.next_offsets = {one: offset for one, offset in self.next_offsets.items() if one not in partitions}


class StreamWorker(msgspec.Struct, frozen=True, kw_only=True):
    """A Faust app with its agents. `fatal` is set to the error that must end the process."""

    app: faust.App
    deliveries: dict[str, Deliveries]
    fatal: asyncio.Future[None]
    assigned: asyncio.Event


def build_worker(settings: WorkerSettings, subscriptions: Sequence[Subscription]) -> StreamWorker:
    """Make the app and one agent a topic. Called on the running loop; nothing is started."""
    app = _app(settings)
    worker = StreamWorker(
        app=app,
        deliveries={one.topic.name: Deliveries(one) for one in subscriptions},
        fatal=asyncio.get_running_loop().create_future(),
        assigned=asyncio.Event(),
    )
    for subscription in subscriptions:
        _add_agent(worker, subscription)
    _follow_assignments(worker)
    return worker


def _credentials(kafka: KafkaConnection) -> CredentialsArg | None:
    """Say to Faust's clients what `client_options` says to those of aiokafka."""
    context = kafka.ssl_context() if kafka.has_tls else None
    if not kafka.has_user:
        return SSLCredentials(context) if context else None
    return SASLCredentials(
        username=kafka.user, password=kafka.password(), mechanism=kafka.sasl_mechanism, ssl_context=context
    )


def _app(settings: WorkerSettings) -> faust.App:
    return faust.App(
        settings.group,
        broker=f"kafka://{settings.connection.bootstrap}",
        broker_credentials=_credentials(settings.connection),
        datadir=settings.data_dir,
        store="memory://",
        key_serializer="raw",
        value_serializer="raw",
        topic_allow_declare=False,
        topic_disable_leader=True,
        table_standby_replicas=0,
        web_enabled=False,
        # The unsettled come again after a rebalance and are recognised by the sink; waiting for them while
        # ClickHouse is away would hang the whole group.
        stream_wait_empty=False,
        stream_buffer_maxsize=_MAX_BUFFERED,
        consumer_group_instance_id=settings.member,
        broker_commit_interval=1.0,
        consumer_max_fetch_size=_FETCH_BYTES,
        broker_session_timeout=_SESSION_TIMEOUT_S,
        broker_heartbeat_interval=_HEARTBEAT_S,
        consumer_auto_offset_reset="earliest",
    )


def _add_agent(worker: StreamWorker, subscription: Subscription) -> None:
    deliveries = worker.deliveries[subscription.topic.name]

    async def consume(stream: StreamT[bytes]) -> None:
        # The type that Faust declares for agents lacks the method that its streams have.
        taken = cast("Stream[bytes]", stream).noack_take(subscription.max_messages, within=subscription.flush_s)
        async for events in cast("AsyncIterator[Sequence[EventT[bytes]]]", taken):
            try:
                await deliveries.handle(events)
            except Exception as error:  # noqa: BLE001  the rim: whatever it is, the batch must not be acknowledged
                _fail(worker, error)
                # An agent that returned or raised would be restarted past the unacknowledged batch.
                await asyncio.Event().wait()

    source = worker.app.topic(
        subscription.topic.name,
        key_type=bytes,
        value_type=bytes,
        key_serializer="raw",
        value_serializer="raw",
        internal=False,
    )
    worker.app.agent(source, name=f"project_{subscription.topic.name}", concurrency=1)(consume)


def _fail(worker: StreamWorker, error: Exception) -> None:
    _log.error("sink_failed", error=str(error), exc_info=error)
    if not worker.fatal.done():
        worker.fatal.set_exception(error)


def _follow_assignments(worker: StreamWorker) -> None:
    async def on_assigned(_app: object, assigned: set[TP], *_: object, **__: object) -> None:
        _log.info("partitions_assigned", partitions=sorted(f"{tp.topic}-{tp.partition}" for tp in assigned))
        worker.assigned.set()

    async def on_revoked(_app: object, revoked: set[TP], *_: object, **__: object) -> None:
        for topic, deliveries in worker.deliveries.items():
            deliveries.forget({tp.partition for tp in revoked if tp.topic == topic})

    worker.app.on_partitions_assigned.connect(cast("Handler", on_assigned), weak=False)
    worker.app.on_partitions_revoked.connect(cast("Handler", on_revoked), weak=False)


def _message(event: EventT[bytes]) -> Message:
    message = event.message
    headers = cast("Sequence[tuple[str, bytes]]", message.headers or ())
    return Message(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        timestamp_ms=round(message.timestamp * 1000),
        key=message.key,
        value=message.value,
        headers=tuple(headers),
    )
