from collections.abc import Iterable

import pyarrow as pa
import pytest

from projections.errors import UndecodableError
from projections.feeds.feed import Feed
from projections.messages import Message, body
from projections.projectors import TableProjector, joined
from projections.tables import Rows, Table
from projections.views import PROJECTORS, projector_of
from schemas.topics import FEEDBACK, REQUESTS, SOURCES
from tests.unit.projections.sink_doubles import message

SINGLE = Table(name="single", columns=pa.schema([("number", pa.int64())]))
DOUBLE = Table(name="double", columns=pa.schema([("number", pa.int64())]))
DONE = Table(name="done", columns=pa.schema([("number", pa.int64())]))


class Numbers:
    """A feed of numbers that counts how often it decodes."""

    def __init__(self) -> None:
        self.decoded = 0
        self.feed = Feed(topic=FEEDBACK, decode=self._decode, max_messages=1, pace="spread")

    def _decode(self, message: Message) -> int:
        self.decoded += 1
        try:
            return int(body(message))
        except ValueError as error:
            raise UndecodableError("no number") from error


def part(feed: Feed[int], table: Table, *, factor: int = 1, is_last: bool = False) -> TableProjector[int]:
    return TableProjector(
        feed=feed, table=table, rows=lambda number, _: Rows(table, [{"number": factor * number}]), is_last=is_last
    )


def values(parts: Iterable[Rows]) -> list[tuple[str, object]]:
    return [(rows.table.name, row["number"]) for rows in parts for row in list(rows.values)]


def test_a_message_of_which_several_views_are_made_is_decoded_once() -> None:
    numbers = Numbers()
    (projector,) = joined([part(numbers.feed, SINGLE), part(numbers.feed, DOUBLE, factor=2)])

    parts = projector.project(message(0, value=b"21"))

    assert values(parts) == [("single", 21), ("double", 42)]
    assert numbers.decoded == 1


def test_the_table_that_says_that_the_others_are_complete_is_inserted_last() -> None:
    feed = Numbers().feed
    (projector,) = joined([part(feed, DONE, is_last=True), part(feed, SINGLE), part(feed, DOUBLE)])

    assert projector.tables == (SINGLE, DOUBLE, DONE)
    assert [name for name, _ in values(projector.project(message(0)))] == ["single", "double", "done"]


def test_what_the_feed_cannot_decode_has_no_row_in_any_table() -> None:
    feed = Numbers().feed
    (projector,) = joined([part(feed, SINGLE), part(feed, DOUBLE)])

    with pytest.raises(UndecodableError, match="no number"):
        projector.project(message(0, value=b"x"))


def test_each_topic_has_a_projector_of_its_own() -> None:
    other = Feed(topic=REQUESTS, decode=lambda _: 0, max_messages=1, pace="request")

    made = joined([part(Numbers().feed, SINGLE), part(other, SINGLE)])

    assert [(one.topic, one.tables) for one in made] == [(FEEDBACK, (SINGLE,)), (REQUESTS, (SINGLE,))]


def test_a_topic_is_decoded_in_one_way_only() -> None:
    with pytest.raises(AssertionError, match="has two feeds"):
        joined([part(Numbers().feed, SINGLE), part(Numbers().feed, DOUBLE)])


def test_every_topic_of_facts_is_read_into_tables() -> None:
    assert sorted(one.topic.name for one in PROJECTORS) == sorted(topic.name for topic in SOURCES)


def test_a_row_of_a_source_says_that_the_rows_of_its_batch_are_there() -> None:
    assert [table.name for table in projector_of(REQUESTS).tables] == [
        "prediction_index",
        "request_records",
        "rollup_arrivals",
        "sources",
    ]
