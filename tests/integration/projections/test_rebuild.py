import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, NoReturn

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import LeaderNotAvailableError, NotLeaderForPartitionError

from infra.clock import SystemClock
from infra.kafka.connection import KafkaConnection
from projections.errors import TopicMovedOnError
from projections.measurement.queries import measure_epoch
from projections.reading import Reader
from projections.rebuild import compare_all, rebuild_all, swap_all
from projections.replay import messages_of, span_of
from projections.rollups.roller import Roller
from projections.rollups.spans import DAY_MS
from projections.store import ClickHouseStore
from projections.table_layout import bring_up_to_date
from projections.views import projector_of
from schemas.measurement import MeasureEpoch
from schemas.observations import REQUEST_COLUMNS
from schemas.topics import FEEDBACK, OBSERVATIONS, REQUESTS, TELEMETRY, Topic
from tests.integration.projections.conftest import READY_S, opened, sink_into
from tests.support.kafka_node import Node
from tests.support.read_side_messages import (
    ENDPOINT,
    EPOCH,
    WORKSPACE,
    feedback_message,
    headers,
    ipc,
    request_row,
    requests,
)

ENDING = (REQUESTS, OBSERVATIONS, TELEMETRY, FEEDBACK)
HOUR_MS = 60 * 60 * 1_000


class Cut(Exception):
    """The end of a process, in the place of a kill."""


class CutShort(ClickHouseStore):
    """Ends right after the n-th statement that begins with a word."""

    def __init__(self, url: str, word: str, *, number: int) -> None:
        super().__init__(url)
        self._word = word
        self._left = number

    async def command(
        self, sql: str, parameters: Mapping[str, Any] | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        await super().command(sql, parameters, settings)
        self._left -= sql.startswith(self._word)
        if self._left == 0:
            self._cut()

    def _cut(self) -> NoReturn:
        raise Cut


class Log:
    """The topics of a node, into which a test writes, and which lose what they hold."""

    def __init__(self, bootstrap: str) -> None:
        self.connection = KafkaConnection(bootstrap=bootstrap)
        self._bootstrap = bootstrap

    async def write(self, *numbers: int, hours_ago: int) -> None:
        begun_ms = time.time_ns() // 1_000_000 - hours_ago * HOUR_MS
        producer = AIOKafkaProducer(bootstrap_servers=self._bootstrap, acks="all")
        await producer.start()
        for number in numbers:
            row = request_row(number, started_at_ms=begun_ms + number)
            told = headers(source="s", kind="requests", batch=number, rows=1, closed_until_ms=begun_ms + number)
            label = feedback_message(number, started_at_ms=begun_ms, value="3", received_at_ms=begun_ms, offset=0)
            await producer.send_and_wait(
                REQUESTS.name, ipc([row], REQUEST_COLUMNS), partition=number % 4, headers=told.as_kafka()
            )
            await producer.send_and_wait(FEEDBACK.name, label.value)
        await producer.stop()

    async def write_unreadable(self) -> int:
        """Write what is not a batch of requests into partition 0, and return its offset."""
        producer = AIOKafkaProducer(bootstrap_servers=self._bootstrap, acks="all")
        await producer.start()
        written = await producer.send_and_wait(REQUESTS.name, b"of a newer release", partition=0)
        await producer.stop()
        return int(written.offset)

    async def expire(self, *topics: Topic) -> None:
        everything = {
            TopicPartition(topic.name, number): RecordsToDelete(before_offset=-1)
            for topic in topics
            for number in range(topic.partitions)
        }
        admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap)
        await admin.start()
        try:
            deadline = time.monotonic() + READY_S
            while True:
                try:
                    await admin.delete_records(everything)
                    return
                except (NotLeaderForPartitionError, LeaderNotAvailableError):
                    # A topic that was just made has no leader for a moment.
                    assert time.monotonic() < deadline, "the topics have no leader"
                    await asyncio.sleep(0.05)
        finally:
            await admin.close()


@pytest.fixture
async def log(node: Node) -> Log:
    """The node's topics without what other tests left in them."""
    log = Log(node.bootstrap)
    await log.expire(*ENDING)
    return log


@pytest.fixture
async def store(fresh_database: str) -> AsyncIterator[ClickHouseStore]:
    async with opened(fresh_database) as store:
        await bring_up_to_date(store)
        yield store


async def rebuilt(store: ClickHouseStore, log: Log) -> None:
    await swap_all(store, await rebuild_all(store, log.connection))


async def differing(store: ClickHouseStore, log: Log) -> list[str]:
    comparisons = await compare_all(store, await rebuild_all(store, log.connection), within_s=0)
    return [one.table for one in comparisons if not one.is_equal]


async def numbers_in(store: ClickHouseStore, table: str) -> list[int]:
    rows = await store.select(
        f"SELECT reinterpretAsUInt8(unhex(right(prediction_id, 2))) AS number FROM {table} FINAL ORDER BY number"  # noqa: S608  our own names
    )
    return [row["number"] for row in rows]


async def everywhere(store: ClickHouseStore) -> list[list[int]]:
    return [await numbers_in(store, table) for table in ("request_records", "prediction_index", "feedback")]


async def test_a_rebuild_keeps_what_the_topics_no_longer_hold(store: ClickHouseStore, log: Log) -> None:
    await log.write(*range(8), hours_ago=3)
    await rebuilt(store, log)
    await log.expire(*ENDING)
    await log.write(*range(8, 12), hours_ago=1)

    await rebuilt(store, log)

    assert await everywhere(store) == [list(range(12))] * 3
    assert await differing(store, log) == []


async def test_a_rebuild_keeps_what_it_is_given_nothing_for(store: ClickHouseStore, log: Log) -> None:
    await log.write(1, 2, hours_ago=1)
    await rebuilt(store, log)
    await log.expire(*ENDING)

    await rebuilt(store, log)

    assert await everywhere(store) == [[1, 2]] * 3


async def test_a_rebuild_keeps_rows_of_a_topic_that_was_made_anew(store: ClickHouseStore, log: Log) -> None:
    await log.write(*range(4, 8), hours_ago=1)
    begin, _ = (await span_of(log.connection, REQUESTS))[0]
    at_ms = time.time_ns() // 1_000_000 - 5 * HOUR_MS
    earlier = requests([request_row(1, started_at_ms=at_ms)], at_ms=at_ms, offset=begin)
    await sink_into(store, projector_of(REQUESTS)).consume([earlier])

    await rebuilt(store, log)

    assert await numbers_in(store, "request_records") == [1, 4, 5, 6, 7]
    assert await numbers_in(store, "prediction_index") == [1, 4, 5, 6, 7]


async def test_a_rebuild_takes_rows_away_that_the_topic_does_not_give(store: ClickHouseStore, log: Log) -> None:
    await log.write(*range(4, 8), hours_ago=2)
    begin, _ = (await span_of(log.connection, REQUESTS))[0]
    at_ms = time.time_ns() // 1_000_000 - HOUR_MS
    wrong = requests([request_row(1, started_at_ms=at_ms)], at_ms=at_ms, offset=begin)
    await sink_into(store, projector_of(REQUESTS)).consume([wrong])
    before = await differing(store, log)

    await rebuilt(store, log)

    assert {"request_records", "prediction_index"} <= set(before)
    assert await everywhere(store) == [[4, 5, 6, 7]] * 3


async def test_a_rebuild_keeps_rows_of_messages_that_cannot_be_read_any_more(store: ClickHouseStore, log: Log) -> None:
    await log.write(4, 5, hours_ago=2)
    offsets = [await log.write_unreadable() for _ in range(3)]
    await log.write(6, 7, hours_ago=1)
    at_ms = time.time_ns() // 1_000_000 - HOUR_MS
    when_they_could_be_read = [
        requests([request_row(number, started_at_ms=at_ms)], at_ms=at_ms, offset=offset)
        for number, offset in zip((1, 2), offsets, strict=False)
    ]
    await sink_into(store, projector_of(REQUESTS)).consume(when_they_could_be_read)

    await rebuilt(store, log)

    assert await numbers_in(store, "request_records") == [1, 2, 4, 5, 6, 7]
    assert await numbers_in(store, "prediction_index") == [1, 2, 4, 5, 6, 7]
    assert await differing(store, log) == []


@pytest.mark.parametrize(("word", "number"), [("INSERT", 1), ("EXCHANGE", 1), ("EXCHANGE", 4), ("DROP", 1)])
async def test_a_swap_that_is_cut_short_loses_nothing(
    store: ClickHouseStore, fresh_database: str, log: Log, word: str, number: int
) -> None:
    await log.write(*range(4), hours_ago=3)
    await rebuilt(store, log)
    await log.expire(*ENDING)
    await log.write(*range(4, 8), hours_ago=1)
    again = await rebuild_all(store, log.connection)
    cut_short = CutShort(fresh_database, word, number=number)
    with pytest.raises(Cut):
        await swap_all(cut_short, again)
    await cut_short.close()

    await rebuilt(store, log)

    assert await everywhere(store) == [list(range(8))] * 3


async def test_what_was_rolled_up_outlives_rows_topics_and_a_rebuild(store: ClickHouseStore, log: Log) -> None:
    roller = Roller(store, clock=SystemClock(), kept_ms={"requests": DAY_MS, "predictions": DAY_MS})
    question = MeasureEpoch(epoch=EPOCH, candidate="green", baseline="blue")

    async def counted() -> int:
        reader = Reader(store, clock=SystemClock())
        found = await measure_epoch(reader, question, workspace=WORKSPACE, endpoint_id=ENDPOINT)
        return found.arms["blue"].requests

    await log.write(*range(8), hours_ago=3)
    await log.write(99, hours_ago=0)
    await rebuilt(store, log)
    await roller.roll_up()
    before = await counted()
    await log.expire(*ENDING)
    await store.command("TRUNCATE TABLE request_records")

    await rebuilt(store, log)
    await roller.roll_up()

    assert before == 8
    assert await counted() == before


async def test_a_topic_that_loses_messages_while_it_is_read_is_not_taken_for_whole(log: Log) -> None:
    await log.write(*range(8), hours_ago=1)
    span = await span_of(log.connection, REQUESTS)
    await log.expire(REQUESTS)

    with pytest.raises(TopicMovedOnError, match="no table was changed"):
        await anext(messages_of(log.connection, REQUESTS.name, span))
