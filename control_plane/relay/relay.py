"""Publishes the store's log to its topic, in order, from where the topic ends, and the documents after their events.

The topic of events is a function of the store: record n is event n. That of documents holds, of each, what the last
event made of it. What is in the topics is all that the relay remembers, so a crash at any moment, a broker that lost
its end or a topic rebuilt are one and the same case: look where it ends.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from itertools import accumulate

import msgspec
import structlog
from aiokafka.errors import KafkaError

from control_plane.log.ports import DocumentedLog, LoggedDocument, LoggedEvent, Place
from control_plane.log.reading import event_at
from control_plane.relay.errors import PoisonEventError, PublishingError, TopicForeignError
from control_plane.relay.nudges import Nudges
from control_plane.relay.publisher import DEADLINE_SECONDS, Outgoing, Publisher, cannot_be_published, open_publisher
from control_plane.relay.record import to_document_record, to_record
from control_plane.relay.tail import DocumentsTail, Tail, read_documents_tail, read_tail
from infra.errors import TopicDriftError
from infra.kafka.clients import MAX_RECORD_BYTES
from infra.kafka.connection import KafkaConnection
from infra.kafka.topics import TopicSpec, ensure_topics
from schemas.envelope import decode
from schemas.topics import REGISTRY_EVENTS, SERVING_STATE

NOWHERE: Place = (0, "")
_MAX_BATCH_BYTES = 4 * 1024 * 1024
_MAX_AROUND_BYTES = 16 * 1024
_log = structlog.get_logger(__name__)


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How much at once, how long to wait."""

    batch: int = 500
    gather_seconds: float = 0.005
    poll_seconds: float = 0.2
    deadline_seconds: float = DEADLINE_SECONDS
    settle_seconds: float = 0.5
    max_pause_seconds: float = 1.0


class Topics(msgspec.Struct, frozen=True, kw_only=True):
    """Where events and documents go."""

    events: str = REGISTRY_EVENTS.name
    documents: str = SERVING_STATE.name


class Tails(msgspec.Struct, frozen=True, kw_only=True):
    """Where both topics end."""

    events: Tail
    documents: DocumentsTail


class Relay:
    """Keeps the topics in step with the store until it is told to stop."""

    def __init__(
        self,
        log: DocumentedLog,
        connection: KafkaConnection,
        *,
        nudges: Nudges,
        when_caught_up: Callable[[], None],
        pace: Pace | None = None,
        topics: Topics | None = None,
    ) -> None:
        self._log = log
        self._connection = connection
        self._nudges = nudges
        self._when_caught_up = when_caught_up
        self._pace = pace or Pace()
        self._topics = topics or Topics()
        self._place: Place = NOWHERE
        self._format: str | None = None
        self.position = 0
        self.published = 0
        self.published_documents = 0
        self.failures = 0

    async def run(self, stopping: asyncio.Event) -> None:
        """Publish until `stopping`; after an error, start over at the topics' tails.

        Raises:
            PoisonEventError, TopicForeignError: a person must look; nothing is skipped.
            LogUnreadableError: the store cannot be read.
        """
        failures = 0
        while not stopping.is_set():
            try:
                tails = await self._tails(after_failure=failures > 0)
                next_offsets = {
                    self._topics.events: tails.events.next_offset,
                    self._topics.documents: tails.documents.next_offset,
                }
                async with open_publisher(
                    self._connection, next_offsets, deadline_seconds=self._pace.deadline_seconds
                ) as publisher:
                    self.position, self._place = tails.events.position, (tails.documents.position, "")
                    self._format = tails.documents.document_format
                    _log.info("relay_resumes", position=self.position, documents_position=self._place[0])
                    failures = 0
                    await self._follow(publisher, stopping)
            except PublishingError as error:
                failures += 1
                self.failures += 1
                pause = self._pause(failures)
                _log.warning("relay_starts_over", reason=str(error), failures=failures, pause_seconds=round(pause, 2))
                await sleep_unless(stopping, pause)

    async def _follow(self, publisher: Publisher, stopping: asyncio.Event) -> None:
        is_first = True
        while not stopping.is_set():
            events, documents = await self._next()
            if events or documents:
                await publisher.publish(
                    [
                        *(_event_message(event, self._topics.events) for event in events),
                        *(self._document_message(document) for document in documents if _fits(document)),
                    ]
                )
                self._note(events, documents)
                if max(len(events), len(documents)) < self._pace.batch:
                    # What is published wakes every program that follows, so a succession goes out together.
                    await asyncio.sleep(self._pace.gather_seconds)
                continue
            if is_first:
                is_first = False
                _log.info("relay_caught_up", position=self.position)
                self._when_caught_up()
            await self._nudges.wait(at_most_seconds=self._pace.poll_seconds)

    async def _next(self) -> tuple[list[LoggedEvent], list[LoggedDocument]]:
        """Read what comes next; a document waits for the batch that its event is in."""
        async with self._log.one_moment():
            events = await self._log.read(after=self.position, limit=self._pace.batch)
            found = await self._log.catalogue_format()
            if found is None:
                return events, []
            if found != self._format:
                if self._format:
                    _log.info("documents_published_again", format=found, before=self._format)
                self._place, self._format = NOWHERE, found
            up_to = events[-1].position if events else self.position
            documents = await self._log.documents(after=self._place, up_to=up_to, limit=self._pace.batch)
            return events, _bounded(documents)

    def _note(self, events: Sequence[LoggedEvent], documents: Sequence[LoggedDocument]) -> None:
        if events:
            self.position = events[-1].position
        if documents:
            self._place = documents[-1].position, documents[-1].id
        self.published += len(events)
        self.published_documents += len(documents)

    async def _tails(self, *, after_failure: bool) -> Tails:
        """Find the topics' ends; after a failure only once they no longer grow, as a late batch may yet arrive."""
        tails = await self._read_tails()
        while after_failure:
            await asyncio.sleep(self._pace.settle_seconds)
            again = await self._read_tails()
            if again == tails:
                break
            tails = again
        await self._check_events(tails.events)
        return msgspec.structs.replace(tails, documents=await self._known(tails.documents))

    async def _read_tails(self) -> Tails:
        await self._ensure_topics()
        return Tails(
            events=await read_tail(self._connection, self._topics.events),
            documents=await read_documents_tail(self._connection, self._topics.documents),
        )

    async def _ensure_topics(self) -> None:
        """Make what a person deleted so that it is filled again; what is there in another form is the API's to tell."""
        wanted = {REGISTRY_EVENTS: self._topics.events, SERVING_STATE: self._topics.documents}
        specs = [msgspec.structs.replace(TopicSpec.of(topic), name=name) for topic, name in wanted.items()]
        try:
            await ensure_topics(self._connection, specs, timeout_seconds=self._pace.deadline_seconds)
        except TopicDriftError as error:
            _log.warning("topic_differs", reason=str(error))
        except (TimeoutError, KafkaError) as error:
            raise PublishingError(f"the topics cannot be made or compared ({error!r})") from error

    async def _check_events(self, tail: Tail) -> None:
        topic = self._topics.events
        head, published = await self._log.head(), await self._log.count(up_to=tail.position)
        if tail.position > head:
            raise TopicForeignError(
                f"the topic {topic} goes to position {tail.position} but the store only to {head}; "
                "restore the store from the topic (`rollbook audit restore`), or point the relay to its own topic"
            )
        if tail.next_offset < published:
            raise TopicForeignError(
                f"the topic {topic} holds {tail.next_offset} of the {published} events up to position "
                f"{tail.position}; it was recreated meanwhile: delete it, and the relay will fill it again"
            )
        if tail.next_offset > published:
            _log.warning("topic_holds_repeats", records=tail.next_offset, events=published)

    async def _known(self, tail: DocumentsTail) -> DocumentsTail:
        """Return a tail that documents go on after: the beginning, where the last one is not of this store."""
        if tail.position == 0:
            return tail
        event = await event_at(self._log, tail.position)
        if event is not None and _id_of(event) == tail.event_id:
            return tail
        _log.warning("documents_of_another_store", topic=self._topics.documents, position=tail.position)
        return DocumentsTail(tail.next_offset, 0)

    def _document_message(self, document: LoggedDocument) -> Outgoing:
        record = to_document_record(document, document_format=self._format or "")
        what = f"the document {document.id} of position {document.position}"
        return Outgoing(self._topics.documents, record, what, says_its_offset=True)

    def _pause(self, failures: int) -> float:
        pause_s: float = min(self._pace.max_pause_seconds, 0.1 * 2**failures)
        return pause_s * (0.5 + random.random() / 2)  # noqa: S311  jitter, no secret


def _bounded(documents: list[LoggedDocument]) -> list[LoggedDocument]:
    """Return as many of the first documents as fit into one batch, and at least one."""
    sizes = accumulate(len(document.body) for document in documents)
    count = sum(size <= _MAX_BATCH_BYTES for size in sizes)
    return documents[: max(1, count)]


def _fits(document: LoggedDocument) -> bool:
    """Return whether the broker takes a document; one that is too large must not keep back events and the others."""
    if len(document.body) <= MAX_RECORD_BYTES - _MAX_AROUND_BYTES:
        return True
    _log.error("document_too_large", id=document.id, position=document.position, size_bytes=len(document.body))
    return False


def _id_of(event: LoggedEvent) -> str:
    try:
        return str(decode(event.canonical).id)
    except msgspec.DecodeError:
        return ""


def _event_message(event: LoggedEvent, topic: str) -> Outgoing:
    what = f"the event at position {event.position} ({event.type_name} of {event.stream})"
    try:
        return Outgoing(topic, to_record(event), what)
    except msgspec.DecodeError as error:
        raise PoisonEventError(cannot_be_published(what, error)) from error


async def sleep_unless(stopping: asyncio.Event, seconds: float) -> None:
    """Sleep, or return at once when the program is to stop."""
    waiting = asyncio.ensure_future(stopping.wait())
    await asyncio.wait({waiting}, timeout=seconds)
    waiting.cancel()
