"""A store, its log file and relays that publish it to topics of their own."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from control_plane.log.ports import DocumentedLog, LoggedEvent
from control_plane.log.reading import events_of
from control_plane.ports import EventStore
from control_plane.relay.nudges import open_nudges
from control_plane.relay.relay import Pace, Relay, Topics
from control_plane.relay.topic_log import open_topic_log
from control_plane.relay.topic_reader import open_reader
from schemas.documents.records import Removed, StateRecord, decode
from tests.support.kafka_node import Node
from tests.support.store import context, register

DEADLINE_SECONDS = 180.0


class Scene:
    """A store, its log file and relays that publish it to one topic."""

    def __init__(self, folder: Path, *, broker: Node, topics: Topics, store: EventStore, log: DocumentedLog) -> None:
        self.folder, self.broker, self.topics, self.store, self.log = folder, broker, topics, store, log
        self.caught_up = asyncio.Event()
        self.failures: Callable[[], int] = int

    @asynccontextmanager
    async def relay(
        self, *, log: DocumentedLog | None = None, pace: Pace | None = None
    ) -> AsyncIterator[asyncio.Task[None]]:
        stopping = asyncio.Event()
        async with open_nudges(self.folder / "relay.sock") as nudges:
            relay = Relay(
                log or self.log,
                self.broker.connection,
                nudges=nudges,
                when_caught_up=self.caught_up.set,
                pace=pace or Pace(deadline_seconds=4.0, settle_seconds=0.1),
                topics=self.topics,
            )
            self.failures = lambda: relay.failures
            running = asyncio.ensure_future(relay.run(stopping))
            try:
                yield running
            finally:
                stopping.set()
                nudges.wake()
                await asyncio.wait({running}, timeout=180)
                running.cancel()

    async def register(self, count: int, *, prefix: str = "m") -> None:
        for number in range(count):
            await self.store.execute(context(), register(f"{prefix}{number}"))

    async def stored(self) -> list[LoggedEvent]:
        return await self.log.read(after=0, limit=1_000_000)

    async def published(self) -> list[LoggedEvent]:
        async with open_topic_log(self.broker.connection, topic=self.topics.events) as topic:
            return [event async for event in events_of(topic)]

    async def documents(self) -> list[StateRecord | Removed]:
        """Return every record of the topic of documents, in its order."""
        async with open_reader(self.broker.connection, self.topics.documents, client_id="test") as (
            consumer,
            partition,
        ):
            end = (await consumer.end_offsets([partition]))[partition]
            consumer.seek(partition, 0)
            read = [await consumer.getone() for _ in range(end)]
            return [decode(record) for record in read if record.headers and record.value != b"{}"]

    async def eventually_equal(self) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while len(await self.published()) < len(await self.stored()) and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
        assert await self.published() == await self.stored()

    async def make_anew(self, admin: AIOKafkaAdminClient, topic: str) -> None:
        """Delete a topic and make it again, empty."""
        await admin.delete_topics([topic])
        deadline = time.monotonic() + DEADLINE_SECONDS
        while topic in await admin.list_topics() and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
        await admin.create_topics([NewTopic(topic, 1, 1)])
