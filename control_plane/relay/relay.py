"""Publishes the store's log to its topic, in order, from where the topic ends.

The topic is a function of the store: record n is event n. What is in the topic is all that the relay remembers, so a
crash at any moment, a broker that lost its end or a topic rebuilt are one and the same case: look where it ends.
"""

import asyncio
import random
from collections.abc import Callable

import msgspec
import structlog

from control_plane.event_store.log_file import LogFile
from control_plane.relay.errors import PublishingError, TopicForeignError
from control_plane.relay.nudges import Nudges
from control_plane.relay.publisher import DEADLINE_SECONDS, Publisher, open_publisher
from control_plane.relay.tail import Tail, read_tail
from infra.kafka.connection import KafkaConnection
from schemas.topics import REGISTRY_EVENTS

_log = structlog.get_logger(__name__)


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How much at once, how long to wait."""

    batch: int = 500
    poll_seconds: float = 0.2
    deadline_seconds: float = DEADLINE_SECONDS
    settle_seconds: float = 0.5
    max_pause_seconds: float = 1.0


class Relay:
    """Keeps the topic in step with the log until it is told to stop."""

    def __init__(
        self,
        log: LogFile,
        connection: KafkaConnection,
        *,
        nudges: Nudges,
        when_caught_up: Callable[[], None],
        pace: Pace | None = None,
        topic: str = REGISTRY_EVENTS.name,
    ) -> None:
        self._log = log
        self._connection = connection
        self._nudges = nudges
        self._when_caught_up = when_caught_up
        self._pace = pace or Pace()
        self._topic = topic
        self.position = 0
        self.published = 0
        self.failures = 0

    async def run(self, stopping: asyncio.Event) -> None:
        """Publish until `stopping`; after an error, start over at the topic's tail.

        Raises:
            PoisonEventError, TopicForeignError: a person must look; nothing is skipped.
        """
        failures = 0
        while not stopping.is_set():
            try:
                tail = await self._tail(after_failure=failures > 0)
                async with open_publisher(
                    self._connection, self._topic, tail, deadline_seconds=self._pace.deadline_seconds
                ) as publisher:
                    _log.info("relay_resumes", position=tail.position, next_offset=tail.next_offset)
                    failures = 0
                    await self._follow(publisher, tail.position, stopping)
            except PublishingError as error:
                failures += 1
                self.failures += 1
                pause = self._pause(failures)
                _log.warning("relay_starts_over", reason=str(error), failures=failures, pause_seconds=round(pause, 2))
                await sleep_unless(stopping, pause)

    async def _follow(self, publisher: Publisher, position: int, stopping: asyncio.Event) -> None:
        is_first = True
        self.position = position
        while not stopping.is_set():
            batch = self._log.read(after=position, limit=self._pace.batch)
            if batch:
                await publisher.publish(batch)
                position = self.position = batch[-1].position
                self.published += len(batch)
                continue
            if is_first:
                is_first = False
                _log.info("relay_caught_up", position=position)
                self._when_caught_up()
            await self._nudges.wait(at_most_seconds=self._pace.poll_seconds)

    async def _tail(self, *, after_failure: bool) -> Tail:
        """Find the end of the topic; after a failure only once it no longer grows, as a late batch may yet arrive."""
        tail = await read_tail(self._connection, self._topic)
        while after_failure:
            await asyncio.sleep(self._pace.settle_seconds)
            again = await read_tail(self._connection, self._topic)
            if again == tail:
                break
            tail = again
        self._check(tail)
        return tail

    def _check(self, tail: Tail) -> None:
        head, published = self._log.head(), self._log.count(up_to=tail.position)
        if tail.position > head:
            raise TopicForeignError(
                f"the topic {self._topic} goes to position {tail.position} but the store only to {head}; "
                "restore the store from the topic (`rollbook audit restore`), or point the relay to its own topic"
            )
        if tail.next_offset < published:
            raise TopicForeignError(
                f"the topic {self._topic} holds {tail.next_offset} of the {published} events up to position "
                f"{tail.position}; it was recreated meanwhile: delete it, and the relay will fill it again"
            )
        if tail.next_offset > published:
            _log.warning("topic_holds_repeats", records=tail.next_offset, events=published)

    def _pause(self, failures: int) -> float:
        pause_s: float = min(self._pace.max_pause_seconds, 0.1 * 2**failures)
        return pause_s * (0.5 + random.random() / 2)  # noqa: S311  jitter, no secret


async def sleep_unless(stopping: asyncio.Event, seconds: float) -> None:
    """Sleep, or return at once when the program is to stop."""
    waiting = asyncio.ensure_future(stopping.wait())
    await asyncio.wait({waiting}, timeout=seconds)
    waiting.cancel()
