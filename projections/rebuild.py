"""Rebuilds the tables from the topics, beside the live ones: to compare them, or to put them in their place.

`python -m projections.rebuild --verify` says whether the live tables equal what the topics give; `--swap` exchanges
them while the sink goes on. What retention took from a topic is kept from the live table and not compared.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from infra.kafka.connection import KafkaConnection, connection_in
from projections.errors import UndecodableError
from projections.messages import Message
from projections.store import ClickHouseStore
from projections.table_layout import bring_up_to_date
from projections.tables import Projector, Rows, Table, assemble
from projections.views import PROJECTORS

SUFFIX = "_rebuilt"
_MAX_MESSAGES = 500
_FETCH_TIMEOUT_MS = 1_000
_CATCH_UP_S = 30.0
_POLL_S = 0.5

# Of a table without offsets, what the live one has heard more of since cannot be compared.
_NOT_AHEAD = f"""
    (kind, source) NOT IN (
        SELECT kind, source FROM (
            SELECT kind, source, batch AS live, 0 AS rebuilt FROM sources
            UNION ALL SELECT kind, source, -1, batch + 1 FROM sources{SUFFIX}
        ) GROUP BY kind, source HAVING max(live) + 1 > max(rebuilt))
"""  # noqa: S608  our own names

Span = Mapping[int, tuple[int, int]]
"""Of a topic, by partition: the first offset that was read and the one after the last."""


class Rebuilt(msgspec.Struct, frozen=True, kw_only=True):
    """The tables of one topic as they were built again, and from which messages."""

    tables: tuple[Table, ...]
    span: Span
    undecodable: int


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A live table beside its rebuild: rows, and a hash of them that no order changes."""

    table: str
    live: tuple[int, int]
    rebuilt: tuple[int, int]

    @property
    def is_equal(self) -> bool:
        return self.live == self.rebuilt


async def rebuild_all(store: ClickHouseStore, connection: KafkaConnection) -> list[Rebuilt]:
    """Build every table beside the live one, up to what the topics hold now."""
    shared = {table.name: table for projector in PROJECTORS for table in projector.tables}
    for name in shared:
        await store.command(f"DROP TABLE IF EXISTS {name}{SUFFIX} SYNC")
        await store.command(f"CREATE TABLE {name}{SUFFIX} AS {name}")
    return [await _rebuild(store, connection, projector) for projector in PROJECTORS]


async def compare_all(store: ClickHouseStore, rebuilt: Sequence[Rebuilt]) -> list[Comparison]:
    """Compare each table, giving the live ones some time to catch up."""
    deadline = asyncio.get_running_loop().time() + _CATCH_UP_S
    while True:
        found = {table.name: await _compare(store, table, one.span) for one in rebuilt for table in one.tables}
        late = asyncio.get_running_loop().time() >= deadline
        if late or all(one.is_equal for one in found.values()):
            return list(found.values())
        await asyncio.sleep(_POLL_S)


async def swap_all(store: ClickHouseStore, rebuilt: Sequence[Rebuilt]) -> None:
    """Put the rebuilt tables in the place of the live ones, then add what only the others had.

    The sink inserts by name: every row is in one of the two, and one that is in both folds into one.
    """
    spans = {table.name: (table, one.span) for one in rebuilt for table in one.tables}
    for name in spans:
        await store.command(f"EXCHANGE TABLES {name} AND {name}{SUFFIX}")
    for name, (table, span) in spans.items():
        columns = ", ".join(table.columns.names)
        outside = f"NOT ({_within(span)})" if table.origin else "1"
        # An insert that began before the exchange may end after it: look again until nothing is found.
        copied = -1
        while (found := await _count(store, f"{name}{SUFFIX}", outside)) != copied:
            await store.command(f"INSERT INTO {name} ({columns}) SELECT {columns} FROM {name}{SUFFIX} WHERE {outside}")  # noqa: S608  our own names and numbers
            copied = found
            await asyncio.sleep(_POLL_S)
        await store.command(f"DROP TABLE {name}{SUFFIX} SYNC")


async def _rebuild(store: ClickHouseStore, connection: KafkaConnection, projector: Projector) -> Rebuilt:
    consumer = AIOKafkaConsumer(
        **connection.client_options(), enable_auto_commit=False, max_partition_fetch_bytes=2**23
    )
    await consumer.start()
    try:
        partitions = [TopicPartition(projector.topic.name, number) for number in range(projector.topic.partitions)]
        begin, end = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
        span = {one.partition: (begin[one], end[one]) for one in partitions}
        undecodable = 0
        async for messages in _messages(consumer, projector.topic.name, span):
            undecodable += await _insert(store, projector, messages)
    finally:
        await consumer.stop()
    return Rebuilt(tables=projector.tables, span=span, undecodable=undecodable)


async def _messages(consumer: AIOKafkaConsumer, topic: str, span: Span) -> AsyncIterator[list[Message]]:
    todo = {TopicPartition(topic, number): end for number, (begin, end) in span.items() if begin < end}
    if not todo:
        return
    consumer.assign(list(todo))
    for one in todo:
        consumer.seek(one, span[one.partition][0])
    while todo:
        fetched = await consumer.getmany(*todo, timeout_ms=_FETCH_TIMEOUT_MS, max_records=_MAX_MESSAGES)
        for one, records in fetched.items():
            wanted = [record for record in records if record.offset < todo[one]]
            if wanted:
                yield [_message(record) for record in wanted]
            if records and records[-1].offset + 1 >= todo[one]:
                del todo[one]


async def _insert(store: ClickHouseStore, projector: Projector, messages: list[Message]) -> int:
    parts: list[Rows] = []
    undecodable = 0
    for message in messages:
        try:
            parts += projector.project(message)
        except UndecodableError:
            undecodable += 1
    first, last = messages[0], messages[-1]
    for table, rows in assemble(projector.tables, parts):
        token = f"{first.topic}-{first.partition}-{first.offset}-{last.offset}"
        await store.insert(f"{table.name}{SUFFIX}", rows, token=token)
    return undecodable


async def _compare(store: ClickHouseStore, table: Table, span: Span) -> Comparison:
    where = _within(span) if table.origin else _NOT_AHEAD
    live, rebuilt = await asyncio.gather(
        _fingerprint(store, table, table.name, where), _fingerprint(store, table, f"{table.name}{SUFFIX}", where)
    )
    return Comparison(table=table.name, live=live, rebuilt=rebuilt)


async def _fingerprint(store: ClickHouseStore, table: Table, name: str, where: str) -> tuple[int, int]:
    columns = ", ".join(column for column in table.columns.names if column not in table.origin)
    rows = await store.select(
        f"SELECT count() AS rows, groupBitXor(row_hash) AS hash "  # noqa: S608  our own names and numbers
        f"FROM (SELECT sipHash64(tuple({columns})) AS row_hash FROM {name} FINAL WHERE {where})"
    )
    return rows[0]["rows"], rows[0]["hash"]


async def _count(store: ClickHouseStore, name: str, where: str) -> int:
    rows = await store.select(f"SELECT count() AS rows FROM {name} WHERE {where}")  # noqa: S608  our own names and numbers
    return int(rows[0]["rows"])


def _within(span: Span) -> str:
    return " OR ".join(
        f"(kafka_partition = {number} AND kafka_offset >= {begin} AND kafka_offset < {end})"
        for number, (begin, end) in sorted(span.items())
    )


def _message(record: ConsumerRecord) -> Message:
    return Message(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp,
        key=record.key,
        value=record.value,
        headers=tuple(record.headers),
    )


async def run(*, connection: KafkaConnection, clickhouse_url: str, swap: bool) -> int:
    """Rebuild, then compare or swap; 0 unless a comparison failed."""
    store = ClickHouseStore(clickhouse_url)
    try:
        await bring_up_to_date(store)
        rebuilt = await rebuild_all(store, connection)
        if swap:
            await swap_all(store, rebuilt)
            sys.stdout.write("swapped: the tables now match the topics\n")
            return 0
        comparisons = await compare_all(store, rebuilt)
    finally:
        await store.close()
    for one in comparisons:
        verdict = "equal" if one.is_equal else "DIFFERENT"
        sys.stdout.write(f"{one.table}: {verdict} (live {one.live[0]} rows, rebuilt {one.rebuilt[0]} rows)\n")
    return 0 if all(one.is_equal for one in comparisons) else 1


def main(argv: list[str] | None = None) -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m projections.rebuild", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kafka", required=True, help="host:port of a Kafka broker")
    parser.add_argument("--clickhouse", required=True, help="http://[user:password@]host:port of ClickHouse")
    deed = parser.add_mutually_exclusive_group(required=True)
    deed.add_argument("--verify", action="store_true", help="compare the live tables with a rebuild")
    deed.add_argument("--swap", action="store_true", help="replace the live tables with a rebuild")
    arguments = parser.parse_args(argv)
    return asyncio.run(
        run(
            connection=connection_in(os.environ, bootstrap=arguments.kafka),
            clickhouse_url=arguments.clickhouse,
            swap=arguments.swap,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
