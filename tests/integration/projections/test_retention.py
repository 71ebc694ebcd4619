import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pyarrow as pa
import pytest

from infra.clickhouse.migrator import migrate
from projections.predictions.queries import who_served, who_served_each
from projections.reading import Reader
from projections.retention.expiry import days_kept, keep_rows
from projections.retention.queries import KeptTable, list_tables
from projections.store import ClickHouseStore
from projections.table_layout import bring_up_to_date, migration_folders
from projections.views import TABLES, projector_of
from schemas.envelope import rfc3339
from schemas.topics import FEEDBACK, REQUESTS
from tests.integration.projections.conftest import opened, sink_into
from tests.support.read_side_messages import WORKSPACE, feedback_message, prediction_id, request_row, requests

DAY_MS = 24 * 60 * 60 * 1_000
BEFORE_THE_INDEX = 17


def days_ago(days: float) -> int:
    return time.time_ns() // 1_000_000 - int(days * DAY_MS)


@pytest.fixture
async def own_store(fresh_database: str) -> AsyncIterator[ClickHouseStore]:
    """Tables that a test may change."""
    async with opened(fresh_database) as store:
        await bring_up_to_date(store)
        yield store


async def listed(reader: Reader, name: str) -> KeptTable:
    tables = await list_tables(reader, TABLES)
    return next(table for table in tables.items if table.table == name)


async def days_of_rows(store: ClickHouseStore) -> list[int]:
    await store.command("OPTIMIZE TABLE request_records FINAL")
    now_ms = days_ago(0)
    rows = await store.select("SELECT ended_at_ms FROM request_records ORDER BY ended_at_ms DESC")
    return [round((now_ms - row["ended_at_ms"]) / DAY_MS) for row in rows]


async def test_only_tables_that_keep_rows_for_another_time_are_changed(own_store: ClickHouseStore) -> None:
    usual = await days_kept(own_store, TABLES)
    wanted = usual | {"request_records": 30}

    unchanged = await keep_rows(own_store, TABLES, usual)
    changed = await keep_rows(own_store, TABLES, wanted)
    again = await keep_rows(own_store, TABLES, wanted)

    assert (unchanged, changed, again) == ([], ["request_records"], [])
    assert await days_kept(own_store, TABLES) == wanted


async def test_a_longer_time_keeps_rows_that_are_there_and_a_shorter_one_takes_them(
    own_store: ClickHouseStore,
) -> None:
    usual = await days_kept(own_store, TABLES)
    rows = [request_row(days, started_at_ms=days_ago(days)) for days in (1, 3, 5, 20)]

    await keep_rows(own_store, TABLES, usual | {"request_records": 30})
    await sink_into(own_store, projector_of(REQUESTS)).consume([requests(rows, at_ms=days_ago(0))])
    kept = await days_of_rows(own_store)
    await keep_rows(own_store, TABLES, usual | {"request_records": 4})
    await own_store.command("ALTER TABLE request_records MATERIALIZE TTL SETTINGS mutations_sync = 1")
    after = await days_of_rows(own_store)

    assert (kept, after) == ([1, 3, 5, 20], [1, 3])


async def test_each_table_tells_what_it_is_for_what_it_holds_and_how_long(
    store: ClickHouseStore, reader: Reader
) -> None:
    begun = [days_ago(days) for days in (3, 2)]
    rows = [request_row(number, started_at_ms=at_ms) for number, at_ms in enumerate(begun)]
    await sink_into(store, projector_of(REQUESTS)).consume([requests(rows, at_ms=days_ago(0))])

    records, observations, events = [
        await listed(reader, name) for name in ("request_records", "observation_records", "domain_events")
    ]

    assert (records.rows, records.retention_days, records.retention_column) == (2, 7, None)
    assert records.bytes > 0
    assert records.purpose.startswith("One row for every request")
    assert (records.oldest_at, records.newest_at) == (rfc3339(begun[0] + 5), rfc3339(begun[1] + 5))
    assert (observations.rows, observations.oldest_at, observations.retention_column) == (0, None, "retention_days")
    assert (observations.retention_days, events.retention_days, events.retention_column) == (None, None, None)


async def test_who_served_is_told_from_the_index_once_the_record_expired(
    store: ClickHouseStore, reader: Reader
) -> None:
    begun = {number: days_ago(days) for number, days in enumerate((0.5, 6, 8, 35))}
    rows = [request_row(number, started_at_ms=at_ms) for number, at_ms in begun.items()]
    shadows = [row | {"role": "shadow", "deployment_id": "green", "byte_offset": 7} for row in rows]
    label = feedback_message(2, started_at_ms=begun[2], value="3", received_at_ms=begun[2], offset=0)
    await sink_into(store, projector_of(REQUESTS)).consume([requests([*shadows, *rows], at_ms=days_ago(0))])
    await sink_into(store, projector_of(FEEDBACK)).consume([label])
    ids = [prediction_id(at_ms, number) for number, at_ms in begun.items()]

    told = [await who_served(reader, one, workspace=WORKSPACE) for one in ids]
    many = await who_served_each(reader, ids, workspace=WORKSPACE)

    assert [one.served.found_in for one in told] == ["request_records"] * 2 + ["prediction_index"] * 2
    assert [one.expired for one in told] == [[], [], ["request_records"], ["request_records", "feedback"]]
    assert [len(one.feedback) for one in told] == [0, 0, 1, 0]
    assert {(one.served.deployment_id, one.served.version, one.served.epoch) for one in told} == {
        ("blue", "digits/1", 7)
    }
    assert [bool(one.served.trace_id) for one in told] == [True, True, False, False]
    assert many.items == [one.served for one in told]


async def test_a_record_that_has_not_arrived_is_unknown_though_its_index_row_has(
    store: ClickHouseStore, reader: Reader
) -> None:
    row = request_row(1, started_at_ms=days_ago(0.01))
    await sink_into(store, projector_of(REQUESTS)).consume([requests([row], at_ms=days_ago(0))])
    await store.command("TRUNCATE TABLE request_records")

    found = await who_served_each(reader, [row["prediction_id"]], workspace=WORKSPACE)

    assert (found.items, found.unknown) == ([], [row["prediction_id"]])


async def test_nobody_else_s_prediction_is_told_from_the_index(store: ClickHouseStore, reader: Reader) -> None:
    row = request_row(1, started_at_ms=days_ago(9), workspace="another")
    unknown_caller = request_row(2, started_at_ms=days_ago(9), workspace="")
    await sink_into(store, projector_of(REQUESTS)).consume([requests([row, unknown_caller], at_ms=days_ago(0))])

    found = await who_served_each(reader, [row["prediction_id"]], workspace=WORKSPACE)

    assert found.items == []
    assert await store.select("SELECT workspace FROM prediction_index") == [{"workspace": "another"}]


async def test_the_index_of_a_database_of_before_is_filled_from_its_records(
    fresh_database: str, tmp_path: Path
) -> None:
    for folder in migration_folders():
        for file in folder.glob("*.sql"):
            if int(file.name[:4]) <= BEFORE_THE_INDEX:
                shutil.copy(file, tmp_path)
    rows = [request_row(number, started_at_ms=days_ago(number / 10 + 0.01)) for number in range(60)]
    async with opened(fresh_database) as store:
        await store.run(lambda client: migrate(client, [tmp_path]))
        (records,) = [
            part
            for part in projector_of(REQUESTS).project(requests(rows, at_ms=days_ago(0)))
            if part.table.name == "request_records"
        ]
        assert isinstance(records.values, pa.Table)
        await store.insert("request_records", records.values.drop_columns("kind"), token="before")

        applied = await bring_up_to_date(store)

        both = [
            await store.select(
                "SELECT uniqExact(prediction_id) AS rows, "  # noqa: S608  our own names
                f"groupBitXor(cityHash64(prediction_id, epoch, kafka_offset)) AS hash FROM {table}"
            )
            for table in ("request_records", "prediction_index")
        ]
    assert applied[0] == "0018_create_prediction_index.sql"
    assert both[0] == both[1]
    assert both[0][0]["rows"] == len(rows)
