"""The one safe way to consume a topic: each message gets one effect in ClickHouse, and is settled only after it.

Knows neither Faust nor the Kafka client; whoever fetches the messages acknowledges, in order, what `consume` returns.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Protocol, TypeVar

import msgspec
import pyarrow as pa
import structlog

from infra.background import Background
from projections.errors import NotProjectedError, ProjectionError, StoreUnavailableError, UndecodableError
from projections.messages import Message
from projections.retries import Backoff, retry_until_done
from projections.sink.progress import Batch, Mark, Position, Progress, admit, resume
from projections.tables import Projected, Projector, project_all

Result = TypeVar("Result")

_log = structlog.get_logger(__name__)


class Inserts(Protocol):
    """Where rows go."""

    async def insert(self, table: str, rows: pa.Table, *, token: str | None) -> None:
        """Insert all rows as one block; a token that the table knows already inserts nothing.

        A table may know the token of an insert that it lost. So what is repeated has none, and folds by its identity.

        Raises:
            StoreUnavailableError: unknown outcome or overload; the same rows may be inserted again.
            StoreRefusedError: repeating cannot help.
        """
        ...


class Marks(Protocol):
    """Where the begun batches are remembered; same errors as `Inserts`."""

    async def load(self, topic: str, partition: int) -> Position:
        """Return the latest begun batch, or without it the generation of a log that is new."""
        ...

    async def begin(self, topic: str, marks: Sequence[tuple[int, Mark]]) -> None:
        """Remember batches (by partition) before their rows are inserted."""
        ...


class DeadLetters(Protocol):
    """Where messages that have no rows are kept."""

    async def put(self, message: Message, *, reason: str) -> None:
        """Return once the message is safe.

        Raises:
            DeadLettersUnavailableError: it may be tried again.
        """
        ...


class DeadLettersUnavailableError(ProjectionError):
    """The topic of dead letters did not take the message."""


class Decoded(msgspec.Struct, frozen=True, kw_only=True):
    """A batch, and what became of its messages."""

    batch: Batch
    projected: Projected

    @property
    def needs_mark(self) -> bool:
        return bool(self.projected.rejected) or any(not table.folds for table, _ in self.projected.blocks)


class Sink:
    """Consumes one topic. Calls must not overlap; each returns once its messages have their effect."""

    def __init__(
        self,
        *,
        projector: Projector,
        inserts: Inserts,
        marks: Marks,
        dead_letters: DeadLetters,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        background: Background | None = None,
    ) -> None:
        self._projector = projector
        self._inserts = inserts
        self._marks = marks
        self._dead_letters = dead_letters
        self._backoff = Backoff()
        self._sleep = sleep
        self._background = background or Background()
        self._progress: dict[int, Progress] = {}
        self._generations: dict[int, int] = {}
        self._forgotten: set[int] = set()
        self.settled = 0
        self.rejected = 0
        self.inserted: Counter[str] = Counter()

    def forget(self, partitions: Iterable[int]) -> None:
        """Drop what is known of partitions that went to somebody else; they are read afresh when they return."""
        for partition in partitions:
            self._progress.pop(partition, None)
            self._forgotten.add(partition)

    async def consume(self, messages: Sequence[Message]) -> list[Message]:
        """Give the messages their effect and return those that are settled, in offset order per partition.

        Messages of a batch that is repeated after a crash settle only when the batch is complete.

        Raises:
            StoreRefusedError: a fault of ours or of the tables; nothing of the batch may be acknowledged.
        """
        self._forgotten.clear()
        settled: list[Message] = []
        after: dict[int, Progress] = {}
        batches: list[Batch] = []
        for partition, arrived in _by_partition(messages):
            progress = await self._progress_of(partition)
            admission = admit(progress, [self._of_generation(message) for message in arrived])
            after[partition] = admission.progress
            settled += admission.known
            batches += admission.batches
        # A mark says that everything before it is in the tables, so what is repeated comes before what is begun.
        await self._write_each([self._decode(batch) for batch in batches if batch.is_replay])
        begun = [self._decode(batch) for batch in batches if not batch.is_replay]
        await self._begin(begun)
        await self._write_each(begun)
        settled += [message for batch in batches for message in batch.messages]
        # A partition that was taken away meanwhile may have moved on elsewhere: what we know of it is old.
        self._progress.update({number: one for number, one in after.items() if number not in self._forgotten})
        self.settled += len(settled)
        return settled

    async def _progress_of(self, partition: int) -> Progress:
        if partition not in self._progress:
            topic = self._projector.topic.name
            position = await self._persist(partial(self._marks.load, topic, partition), what="load_mark")
            self._progress[partition] = resume(position.mark)
            self._generations[partition] = position.generation
            _log.info("partition_resumed", topic=topic, partition=partition, **msgspec.to_builtins(position))
        return self._progress[partition]

    def _of_generation(self, message: Message) -> Message:
        generation = self._generations[message.partition]
        return message if generation == message.generation else msgspec.structs.replace(message, generation=generation)

    def _decode(self, batch: Batch) -> Decoded:
        return Decoded(batch=batch, projected=project_all(self._projector, batch.messages))

    async def _begin(self, decoded: Sequence[Decoded]) -> None:
        marks = [(one.batch.messages[0].partition, _mark_of(one.batch)) for one in decoded if one.needs_mark]
        if marks:
            await self._persist(partial(self._marks.begin, self._projector.topic.name, marks), what="begin_batch")

    async def _write_each(self, decoded: Sequence[Decoded]) -> None:
        # At most one a partition, and partitions are independent; within one, `_write` keeps the order of tables.
        await asyncio.gather(*(self._write(one) for one in decoded))

    async def _write(self, decoded: Decoded) -> None:
        for rejected in decoded.projected.rejected:
            await self._reject(rejected.message, rejected.error)
        token = None if decoded.batch.is_replay else token_of(decoded.batch)
        for table, rows in decoded.projected.blocks:
            await self._insert(table.name, rows, token)
            self.inserted[table.name] += rows.num_rows

    async def _insert(self, table: str, rows: pa.Table, token: str | None) -> None:
        tokens = itertools.chain((token,), itertools.repeat(None))
        await self._persist(lambda: self._inserts.insert(table, rows, token=next(tokens)), what="insert")

    async def _reject(self, message: Message, error: UndecodableError | NotProjectedError) -> None:
        self.rejected += 1
        if isinstance(error, NotProjectedError):
            self._background.failed(f"projections-fills-{error.by}", error)
        reason = str(error)
        _log.error("message_rejected", topic=message.topic, offset=message.offset, reason=reason)
        await self._persist(partial(self._dead_letters.put, message, reason=reason), what="dead_letter")

    async def _persist(self, action: Callable[[], Awaitable[Result]], *, what: str) -> Result:
        passing = (StoreUnavailableError, DeadLettersUnavailableError)
        return await retry_until_done(action, what=what, passing=passing, backoff=self._backoff, sleep=self._sleep)


def token_of(batch: Batch) -> str:
    """Name the batch for ClickHouse: `topic-partition-first-last`."""
    message = batch.messages[0]
    return f"{message.topic}-{message.partition}-{batch.first}-{batch.last}"


def _mark_of(batch: Batch) -> Mark:
    last = batch.messages[-1]
    return Mark(first=batch.first, last=batch.last, last_timestamp_ms=last.timestamp_ms, generation=last.generation)


def _by_partition(messages: Sequence[Message]) -> Iterable[tuple[int, list[Message]]]:
    ordered = sorted(messages, key=lambda message: (message.partition, message.offset))
    return ((partition, list(group)) for partition, group in itertools.groupby(ordered, lambda m: m.partition))
