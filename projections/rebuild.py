"""Rebuilds the tables from the topics, beside the live ones: to compare them, or to put them in their place.

`python -m projections.rebuild --verify` says whether the live tables equal what the topics give; `--swap` exchanges
them while the sink goes on. What a topic no longer holds, or holds in a form that cannot be read any more, is kept from
the live table and not compared.
"""

import argparse
import asyncio
import itertools
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

import msgspec

from infra.clock import SystemClock
from infra.kafka.connection import KafkaConnection, connection_in
from projections.errors import TopicMovedOnError
from projections.messages import Message
from projections.replay import Span, messages_of, span_of
from projections.retention.expiry import expiries
from projections.store import ClickHouseStore
from projections.table_layout import bring_up_to_date
from projections.tables import REBUILT, Projector, Table, project_all
from projections.views import PROJECTED, PROJECTORS, VIEWS
from schemas.topics import Topic

_CATCH_UP_S = 30.0
# One partition of a table is copied by one statement.
_STATEMENT_S = 600
# Rows that expire while tables are compared are in one and not in the other.
_EXPIRING_S = 120
_POLL_S = 0.5
_PLACES_AT_ONCE = 5_000

# Of a table without offsets, what cannot be compared: what the live one has heard more of since, and what began before
# all that the topic holds.
_NOT_AHEAD = f"""
    (kind, source) NOT IN (
        SELECT kind, source FROM (
            SELECT kind, source, batch, first_seen_ms, 1 AS is_live FROM sources
            UNION ALL SELECT kind, source, batch, first_seen_ms, 0 FROM sources{REBUILT}
        ) GROUP BY kind, source
        HAVING countIf(is_live) > 0 AND (countIf(NOT is_live) = 0
            OR maxIf(batch, is_live) > maxIf(batch, NOT is_live)
            OR minIf(first_seen_ms, is_live) < minIf(first_seen_ms, NOT is_live)))
"""  # noqa: S608  our own names


Place: TypeAlias = tuple[int, int]


class Rebuilt(msgspec.Struct, frozen=True, kw_only=True):
    """The tables of one topic as they were built again, and from which messages.

    `rejected` are the messages without rows, by partition and offset: rows that a live table has of them were made when
    they could be read.
    `floors` has the time of the oldest row of each table whose rows expire. Live rows that are older come from messages
    that the topic no longer holds, also where it was made anew and gave their offsets to others.
    """

    tables: tuple[Table, ...]
    span: Span
    rejected: tuple[Place, ...]
    floors: Mapping[str, int | None]


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
    for table in (one for one in PROJECTED if not one.counts):
        await store.command(f"DROP TABLE IF EXISTS {table.name}{REBUILT} SYNC")
        await store.command(f"CREATE TABLE {table.name}{REBUILT} AS {table.name}")
    return [await _rebuild(store, connection, projector) for projector in PROJECTORS]


async def compare_all(
    store: ClickHouseStore, rebuilt: Sequence[Rebuilt], *, within_s: float = _CATCH_UP_S
) -> list[Comparison]:
    """Compare each table, giving the live ones some time to catch up."""
    deadline = asyncio.get_running_loop().time() + within_s
    expiry = await expiries(store)
    while True:
        found = {
            table.name: await _compare(store, table, one, expiry.get(table.name))
            for one in rebuilt
            for table in one.tables
        }
        late = asyncio.get_running_loop().time() >= deadline
        if late or all(one.is_equal for one in found.values()):
            return list(found.values())
        await asyncio.sleep(_POLL_S)


async def swap_all(store: ClickHouseStore, rebuilt: Sequence[Rebuilt]) -> None:
    """Put the rebuilt tables, with what the topics no longer hold, in the place of the live ones, then add the rest.

    The rest is what the sink, which inserts by name, wrote meanwhile: every row is in one of the two, and one that is
    in both folds into one. Old rows are copied before the exchange: whenever this is cut short, the tables that the
    next rebuild drops hold nothing that the topics do not.
    """
    of_table = {table.name: (table, one) for one in rebuilt for table in one.tables}
    for name, (table, one) in of_table.items():
        where = f"{_before(table, one)} OR {await _unreadable(store, table, one)}"
        await _copy(store, table, source=name, target=f"{name}{REBUILT}", where=where)
    for name in of_table:
        await store.command(f"EXCHANGE TABLES {name} AND {name}{REBUILT}")
    late = {name: _after(one.span) if table.origin else "1" for name, (table, one) in of_table.items()}
    copied: dict[str, int] = {}
    # An insert that began before the exchange may end after it: look again until nothing is found.
    while (found := {name: await _count(store, f"{name}{REBUILT}", where) for name, where in late.items()}) != copied:
        for name in (name for name in found if found[name] != copied.get(name, 0)):
            await _copy(store, of_table[name][0], source=f"{name}{REBUILT}", target=name, where=late[name])
        copied = found
        await asyncio.sleep(_POLL_S)
    for name in of_table:
        await store.command(f"DROP TABLE {name}{REBUILT} SYNC")
    for statement in (statement for view in VIEWS.values() for statement in view.after_rebuild):
        await store.command(statement)


async def _copy(store: ClickHouseStore, table: Table, *, source: str, target: str, where: str) -> None:
    columns = ", ".join(table.columns.names)
    parts = await store.select(f"SELECT DISTINCT _partition_id AS id FROM {source}")  # noqa: S608  our own names
    for part in parts:
        await store.command(
            f"INSERT INTO {target} ({columns}) SELECT {columns} FROM {source} "  # noqa: S608  our own names and numbers
            f"WHERE _partition_id = '{part['id']}' AND ({where})"
        )


async def _rebuild(store: ClickHouseStore, connection: KafkaConnection, projector: Projector) -> Rebuilt:
    span = await span_of(connection, projector.topic)
    generations = await _generations(store, projector.topic)
    rejected: list[Place] = []
    async for messages in messages_of(connection, projector.topic.name, span):
        generation = generations.get(messages[0].partition, 0)
        known = [msgspec.structs.replace(message, generation=generation) for message in messages]
        rejected += await _insert(store, projector, known)
    floors = {table.name: await _floor(store, table) for table in _rebuilt_tables(projector) if table.retention}
    return Rebuilt(tables=_rebuilt_tables(projector), span=span, rejected=tuple(rejected), floors=floors)


async def _generations(store: ClickHouseStore, topic: Topic) -> Mapping[int, int]:
    """Return by partition how often a topic was made anew."""
    rows = await store.select(
        "SELECT partition, generation FROM sink_positions FINAL WHERE topic = {topic:String}", {"topic": topic.name}
    )
    return {row["partition"]: row["generation"] for row in rows}


def _rebuilt_tables(projector: Projector) -> tuple[Table, ...]:
    return tuple(table for table in projector.tables if not table.counts)


async def _floor(store: ClickHouseStore, table: Table) -> int | None:
    rows = await store.select(
        f"SELECT count() AS rows, min({table.time_column}) AS oldest_ms FROM {table.name}{REBUILT}"  # noqa: S608  our own names
    )
    return int(rows[0]["oldest_ms"]) if rows[0]["rows"] else None


async def _insert(store: ClickHouseStore, projector: Projector, messages: list[Message]) -> list[Place]:
    projected = project_all(projector, messages)
    for table, rows in (block for block in projected.blocks if not block[0].counts):
        await store.insert(f"{table.name}{REBUILT}", rows, token=None)
    return [(one.message.partition, one.message.offset) for one in projected.rejected]


async def _compare(store: ClickHouseStore, table: Table, one: Rebuilt, expiry: str | None) -> Comparison:
    where = (
        f"{_held(table, one, expiry)} AND NOT {await _unreadable(store, table, one)}" if table.origin else _NOT_AHEAD
    )
    live, rebuilt = await asyncio.gather(
        _fingerprint(store, table, table.name, where), _fingerprint(store, table, f"{table.name}{REBUILT}", where)
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


async def _unreadable(store: ClickHouseStore, table: Table, one: Rebuilt) -> str:
    """Select the live rows of messages that cannot be read any more; most of these never had any."""
    if not table.origin:
        return "0"
    found: list[Place] = []
    for first in range(0, len(one.rejected), _PLACES_AT_ONCE):
        places = one.rejected[first : first + _PLACES_AT_ONCE]
        rows = await store.select(
            f"SELECT DISTINCT kafka_partition, kafka_offset FROM {table.name} "  # noqa: S608  our own names and numbers
            f"WHERE (kafka_partition, kafka_offset) IN ({', '.join(map(str, places))})"
        )
        found += [(row["kafka_partition"], row["kafka_offset"]) for row in rows]
    return f"({' OR '.join(_runs(sorted(found))) or '0'})"


def _runs(places: Iterable[Place]) -> Iterator[str]:
    """Select places by runs of offsets, as a view that fails does so on many messages in a row."""
    numbered = enumerate(places)
    for (partition, _), together in itertools.groupby(numbered, lambda one: (one[1][0], one[1][1] - one[0])):
        offsets = [offset for _, (_, offset) in together]
        yield f"(kafka_partition = {partition} AND kafka_offset BETWEEN {offsets[0]} AND {offsets[-1]})"


def _held(table: Table, one: Rebuilt, expiry: str | None) -> str:
    """Select the rows that topic and table both still have to hold."""
    soon_s = SystemClock().now_ms() // 1000 + _EXPIRING_S
    kept = "1" if expiry is None else f"{expiry} > toDateTime({soon_s})"
    return f"({_within(one.span)}) AND NOT ({_older(table, one)}) AND {kept}"


def _before(table: Table, one: Rebuilt) -> str:
    """Select the rows that the topic no longer holds."""
    if not table.origin:
        return "1"
    return f"(NOT ({_within(one.span)}) OR {_older(table, one)}) AND NOT ({_after(one.span)})"


def _older(table: Table, one: Rebuilt) -> str:
    floor = one.floors.get(table.name)
    return "0" if floor is None else f"{table.time_column} < {floor}"


def _within(span: Span) -> str:
    return " OR ".join(
        f"(kafka_partition = {number} AND kafka_offset >= {begin} AND kafka_offset < {end})"
        for number, (begin, end) in sorted(span.items())
    )


def _after(span: Span) -> str:
    return " OR ".join(
        f"(kafka_partition = {number} AND kafka_offset >= {end})" for number, (_, end) in sorted(span.items())
    )


async def run(*, connection: KafkaConnection, clickhouse_url: str, swap: bool) -> int:
    """Rebuild, then compare or swap; 0 unless a comparison failed."""
    store = ClickHouseStore(clickhouse_url, answer_s=_STATEMENT_S)
    try:
        await bring_up_to_date(store)
        rebuilt = await rebuild_all(store, connection)
        if swap:
            await swap_all(store, rebuilt)
            sys.stdout.write("swapped: the tables now match the topics, and keep what these no longer hold\n")
            return 0
        comparisons = await compare_all(store, rebuilt)
    except TopicMovedOnError as error:
        sys.stderr.write(f"{error}\n")
        return 1
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
