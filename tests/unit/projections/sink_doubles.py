"""Doubles for the sink's ports: tables that know tokens and can lose the process at any step."""

from collections.abc import Callable, Sequence

import pyarrow as pa

from projections.errors import StoreUnavailableError, UndecodableError
from projections.feeds.feed import Feed
from projections.messages import Message
from projections.projectors import TableProjector, TopicProjector
from projections.sink.progress import Mark, Position
from projections.sink.sink import DeadLettersUnavailableError
from projections.tables import Rows, Table
from schemas.topics import FEEDBACK

NUMBERS = Table(name="numbers", columns=pa.schema([("partition", pa.int32()), ("number", pa.int64())]))
HIGHEST = Table(name="highest", columns=pa.schema([("number", pa.int64())]), folds=True)


class Crash(Exception):
    """The process is gone."""


UNLUCKY = b"0013"


def _number(message: Message) -> int:
    value = message.value or b""
    if not value.isdigit():
        raise UndecodableError("no number")
    return int(value)


def _numbers(number: int, message: Message) -> Rows:
    if message.value == UNLUCKY:
        raise ValueError("a bug of this view")
    return Rows(NUMBERS, [{"partition": message.partition, "number": number}])


def _highest(number: int, _: Message) -> Rows:
    return Rows(HIGHEST, [{"number": number}])


_FEED = Feed(topic=FEEDBACK, decode=_number, max_messages=100, pace="spread")
NUMBER_PROJECTOR = TopicProjector(
    _FEED,
    [
        TableProjector(feed=_FEED, table=HIGHEST, rows=_highest, is_last=True),
        TableProjector(feed=_FEED, table=NUMBERS, rows=_numbers),
    ],
)
"""One row a message in each table; a value that is not a number is undecodable, and on one value a view fails."""


class Outside:
    """What survives a crash. Before and after each effect, `on_step` may raise.

    Rows fold by their identity. Of the next `lost` inserts the token is kept and the rows are not.
    """

    def __init__(self, on_step: Callable[[], None] = lambda: None) -> None:
        self.rows: set[tuple[str, int, int]] = set()
        self.inserts: list[tuple[str, str | None]] = []
        self.lost = 0
        self.tokens: set[tuple[str, str]] = set()
        self.marks: dict[int, Mark] = {}
        self.letters: list[tuple[Message, str]] = []
        self.on_step = on_step
        self.failures: list[Exception] = []

    async def insert(self, table: str, rows: pa.Table, *, token: str | None) -> None:
        self._step()
        is_known = token is not None and (table, token) in self.tokens
        if token is not None:
            self.tokens.add((table, token))
        if self.lost > 0:
            self.lost -= 1
            raise StoreUnavailableError("killed between the token and the rows")
        if not is_known:
            self.inserts.append((table, token))
            self.rows |= {(table, row.get("partition", -1), row["number"]) for row in rows.to_pylist()}
        self.on_step()

    async def load(self, topic: str, partition: int) -> Position:  # noqa: ARG002  the form of the port
        self._step()
        mark = self.marks.get(partition)
        return Position() if mark is None else Position(mark=mark, generation=mark.generation)

    async def begin(self, topic: str, marks: Sequence[tuple[int, Mark]]) -> None:  # noqa: ARG002  the same
        self._step()
        self.marks |= dict(marks)
        self.on_step()

    async def put(self, message: Message, *, reason: str) -> None:
        self._step()
        self.letters.append((message, reason))
        self.on_step()

    def numbers(self) -> list[tuple[int, int]]:
        return sorted((partition, number) for table, partition, number in self.rows if table == NUMBERS.name)

    def _step(self) -> None:
        self.on_step()
        if self.failures:
            raise self.failures.pop(0)


def message(offset: int, *, partition: int = 0, value: bytes | None = None) -> Message:
    return Message(
        topic=FEEDBACK.name,
        partition=partition,
        offset=offset,
        timestamp_ms=1_000 + offset,
        key=None,
        value=str(offset).encode() if value is None else value,
    )


def letters_unavailable() -> DeadLettersUnavailableError:
    return DeadLettersUnavailableError("away")
