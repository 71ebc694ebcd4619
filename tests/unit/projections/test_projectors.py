import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.errors import BadQuery, UndecodableError
from projections.measurement.queries import measure_epoch
from projections.messages import Message
from projections.query.lane import QueryLane, QueryLimits
from projections.query.queries import Sql, run_sql
from projections.reading import Reader
from projections.serving_metrics.queries import check_buckets
from projections.sink.watchdog import Stall
from projections.store import ClickHouseStore
from projections.tables import Rows, assemble
from projections.views import projector_of
from schemas.events import rollouts
from schemas.measurement import MeasureEpoch
from schemas.observations import COLUMNS_ADDED_LATER, OBSERVATION_COLUMNS, REQUEST_COLUMNS
from schemas.topics import FEEDBACK, OBSERVATIONS, REGISTRY_EVENTS, REQUESTS
from tests.support.fakes import FakeClock
from tests.support.read_side_messages import (
    ROLLOUT,
    batch_message,
    event_message,
    feedback_message,
    headers,
    ipc,
    observation_row,
    request_row,
)

AT_MS = 1_795_000_000_000
DAY_MS = 24 * 3_600_000
PAUSED = event_message(
    rollouts.RolloutPaused(step=1, reason="by hand"), stream=ROLLOUT, version=3, position=9, at_ms=AT_MS
)


def request_batch(rows: list[dict[str, object]], *, promised: int | None = None) -> Message:
    described = headers(
        source="shipper-1",
        kind="requests",
        batch=4,
        rows=len(rows) if promised is None else promised,
        closed_until_ms=AT_MS,
    )
    return batch_message(rows, described=described, offset=12, timestamp_ms=AT_MS)


def rows_by_table(parts: tuple[Rows, ...]) -> dict[str, list[dict[str, object]]]:
    return {
        part.table.name: part.values.to_pylist() if isinstance(part.values, pa.Table) else list(map(dict, part.values))
        for part in parts
    }


def test_a_batch_gives_its_rows_with_their_origin_and_the_progress_of_its_source() -> None:
    parts = rows_by_table(projector_of(REQUESTS).project(request_batch([request_row(1, started_at_ms=AT_MS)])))

    (row,) = parts["request_records"]
    (source,) = parts["sources"]
    assert (row["byte_offset"], row["source"], row["kafka_offset"]) == (100, "shipper-1", 12)
    assert (source["batch"], source["closed_until_ms"], source["is_closing"]) == (4, AT_MS, 0)


def test_a_clock_that_is_set_back_during_a_request_costs_no_record() -> None:
    parts = rows_by_table(
        projector_of(REQUESTS).project(request_batch([request_row(1, started_at_ms=AT_MS, ended_at_ms=AT_MS - 60_000)]))
    )

    assert len(parts["request_records"]) == 1


def test_an_empty_batch_still_moves_its_source() -> None:
    parts = rows_by_table(projector_of(REQUESTS).project(request_batch([])))

    assert (len(parts["request_records"]), len(parts["sources"])) == (0, 1)


ROW = request_row(1, started_at_ms=AT_MS)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        pytest.param(request_batch([ROW], promised=2), "promises 2 rows", id="rows are missing"),
        pytest.param(
            msgspec.structs.replace(request_batch([ROW]), value=b"junk"),
            "not a batch of requests",
            id="no Arrow",
        ),
        pytest.param(msgspec.structs.replace(request_batch([ROW]), value=None), "no value", id="no value"),
        pytest.param(msgspec.structs.replace(request_batch([ROW]), headers=()), "headers", id="no headers"),
        pytest.param(
            msgspec.structs.replace(request_batch([ROW]), value=request_batch([ROW]).value[:-40]),  # type: ignore[index]
            "not a batch of requests",
            id="cut short",
        ),
        pytest.param(request_batch([ROW | {"ended_at_ms": 17}]), "not Unix milliseconds", id="seconds for ms"),
        pytest.param(request_batch([ROW | {"started_at_ms": -1}]), "started_at_ms reaches from -1", id="before time"),
        pytest.param(request_batch([ROW, ROW | {"started_at_ms": 2**62}]), "started_at_ms reaches", id="after time"),
        pytest.param(
            request_batch([ROW | {"started_at_ms": AT_MS + 2 * DAY_MS}]),
            "started_at_ms is up to 172799995 ms after ended_at_ms",
            id="a start after the end",
        ),
        pytest.param(request_batch([ROW | {"region": None}]), "'region' with null", id="a null"),
        pytest.param(
            msgspec.structs.replace(
                request_batch([ROW]), value=ipc([ROW], {k: v for k, v in REQUEST_COLUMNS.items() if k != "role"})
            ),
            "not a batch of requests",
            id="a column is missing",
        ),
    ],
)
def test_a_batch_that_breaks_its_promise_is_undecodable(message: Message, reason: str) -> None:
    with pytest.raises(UndecodableError, match=reason):
        projector_of(REQUESTS).project(message)


def test_a_batch_of_the_other_kind_is_undecodable() -> None:
    described = headers(source="boot-1", kind="observations", batch=0, rows=0, closed_until_ms=AT_MS)
    message = batch_message([], described=described, offset=0, timestamp_ms=AT_MS)

    with pytest.raises(UndecodableError, match="observations"):
        projector_of(REQUESTS).project(msgspec.structs.replace(message, topic=REQUESTS.name))


def test_a_batch_of_an_older_shipper_gets_the_usual_values_of_later_columns() -> None:
    row = observation_row(1, started_at_ms=AT_MS, prediction="3")
    described = headers(source="boot-1", kind="observations", batch=0, rows=1, closed_until_ms=AT_MS)
    message = batch_message([row], described=described, offset=0, timestamp_ms=AT_MS)
    older = {name: kind for name, kind in OBSERVATION_COLUMNS.items() if name not in COLUMNS_ADDED_LATER}
    told = tuple((name, value) for name, value in message.headers if name not in ("seen", "unsampled", "log_id"))

    projected = projector_of(OBSERVATIONS).project(
        msgspec.structs.replace(message, value=ipc([row], older), headers=told)
    )

    by_table = {rows.table.name: rows for rows in projected}
    rows, source = by_table["observation_records"], by_table["sources"]
    assert isinstance(rows.values, pa.Table)
    (read,) = rows.values.to_pylist()
    later = {name: value for name, value in COLUMNS_ADDED_LATER.items() if name in OBSERVATION_COLUMNS}
    assert {name: read[name] for name in later} == later
    assert [(each["seen"], each["unsampled"], each["log_id"]) for each in source.values] == [(0, 0, "")]


def test_a_request_of_an_older_shipper_belongs_to_no_trace() -> None:
    older = {name: kind for name, kind in REQUEST_COLUMNS.items() if name not in COLUMNS_ADDED_LATER}

    projected = projector_of(REQUESTS).project(msgspec.structs.replace(request_batch([ROW]), value=ipc([ROW], older)))
    (rows,) = (part for part in projected if part.table.name == "request_records")

    assert isinstance(rows.values, pa.Table)
    assert rows.values.column("trace_id").to_pylist() == [""]


def test_an_event_gives_its_row_with_the_very_bytes_and_a_sentence() -> None:
    parts = rows_by_table(projector_of(REGISTRY_EVENTS).project(PAUSED))

    (event,), (entry,) = parts["domain_events"], parts["rollout_timeline"]
    assert (event["position"], event["event"]) == (9, (PAUSED.value or b"").decode())
    assert (entry["rollout_id"], entry["summary"], entry["reason"]) == (ROLLOUT, "Paused", "by hand")


def test_an_unknown_type_still_advances_the_position() -> None:
    unknown = (PAUSED.value or b"").replace(b"rollouts.RolloutPaused.v1", b"rollouts.RolloutPraised.v9")

    parts = rows_by_table(projector_of(REGISTRY_EVENTS).project(msgspec.structs.replace(PAUSED, value=unknown)))

    assert (len(parts["domain_events"]), len(parts["rollout_timeline"])) == (1, 0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"headers": ()}, "position is missing"),
        ({"headers": (("position", b"x"),)}, "not a number"),
        ({"value": b"{}"}, "not an event"),
    ],
)
def test_an_event_that_is_none_is_undecodable(change: dict[str, object], reason: str) -> None:
    with pytest.raises(UndecodableError, match=reason):
        projector_of(REGISTRY_EVENTS).project(msgspec.structs.replace(PAUSED, **change))


@pytest.mark.parametrize("at_ms", [-1, 4_102_444_800_000, 2**70])
def test_feedback_of_a_time_that_is_none_is_undecodable(at_ms: int) -> None:
    message = feedback_message(1, started_at_ms=AT_MS, value="3", received_at_ms=at_ms, offset=0)

    with pytest.raises(UndecodableError, match="not Unix milliseconds"):
        projector_of(FEEDBACK).project(message)


@pytest.mark.parametrize("change", [{"batch": 2**70}, {"closed_until_ms": 2**70}])
def test_a_batch_with_a_number_that_no_column_holds_is_undecodable(change: dict[str, int]) -> None:
    complete = headers(source="boot-1", kind="requests", batch=0, rows=0, closed_until_ms=AT_MS)
    described = msgspec.structs.replace(complete, **change)

    with pytest.raises(UndecodableError, match="not a batch's number and time"):
        projector_of(REQUESTS).project(batch_message([], described=described, offset=0, timestamp_ms=AT_MS))


def test_feedback_that_is_none_is_undecodable() -> None:
    message = feedback_message(1, started_at_ms=AT_MS, value="3", received_at_ms=AT_MS, offset=0)

    with pytest.raises(UndecodableError):
        projector_of(FEEDBACK).project(msgspec.structs.replace(message, value=b'{"value": 3}'))


@given(numbers=st.permutations(range(5)), again=st.lists(st.integers(0, 4)))
def test_order_and_repetition_of_messages_change_no_row(numbers: list[int], again: list[int]) -> None:
    projector = projector_of(FEEDBACK)
    messages = [
        feedback_message(number, started_at_ms=AT_MS, value=str(number), received_at_ms=AT_MS, offset=number)
        for number in range(5)
    ]

    def rows(order: list[int]) -> set[tuple[object, ...]]:
        parts = [part for number in order for part in projector.project(messages[number])]
        blocks = {table.name: block for table, block in assemble(projector.tables, parts)}
        return {tuple(row.values()) for row in blocks["feedback"].to_pylist()}

    assert rows([*numbers, *again]) == rows(list(range(5)))


@pytest.mark.parametrize(
    ("query", "field"),
    [
        (Sql(sql="DROP TABLE feedback"), "sql"),
        (Sql(sql="SELECT 1 FORMAT Null"), "sql"),
        (Sql(sql="SELECT 1", format="Native"), "format"),
        (Sql(sql="SELECT '" + "x" * 70_000 + "'"), "sql"),
    ],
)
async def test_sql_is_refused_before_it_travels(query: Sql, field: str) -> None:
    lane = QueryLane(ClickHouseStore("http://127.0.0.1:9/default"), QueryLimits())

    with pytest.raises(BadQuery) as refused:
        await run_sql(lane, query, workspace="default", principal="p")

    assert refused.value.field == field


@pytest.mark.parametrize(("since_ms", "bucket_ms"), [(-(10**30), 10**30), (10**30, 1_000), (0, 0), (None, 10**30)])
def test_times_that_no_column_holds_are_refused(since_ms: int | None, bucket_ms: int) -> None:
    with pytest.raises(BadQuery):
        check_buckets(1_700_000_000_000, since_ms, bucket_ms)


@pytest.mark.parametrize("epoch", [-1, 10**30])
async def test_an_epoch_that_no_stream_reaches_is_refused(epoch: int) -> None:
    reader = Reader(ClickHouseStore("http://127.0.0.1:9/default"), clock=FakeClock())
    question = MeasureEpoch(epoch=epoch, candidate="a", baseline="b")

    with pytest.raises(BadQuery):
        await measure_epoch(reader, question, workspace="w", endpoint_id="e")


def test_a_topic_that_stands_still_beside_a_backlog_is_stalled() -> None:
    stall = Stall(patience_s=60)
    looks = {"topic": "t", "settled": 5, "has_backlog": True, "is_writing": False}

    assert not stall.stalled(now_s=0, **looks)  # type: ignore[arg-type]
    assert not stall.stalled(now_s=60, **looks)  # type: ignore[arg-type]
    assert stall.stalled(now_s=61, **looks)  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [{"settled": 6}, {"has_backlog": False}, {"is_writing": True}])
def test_a_topic_that_moves_waits_or_is_empty_is_not_stalled(change: dict[str, object]) -> None:
    stall = Stall(patience_s=60)
    looks = {"topic": "t", "settled": 5, "has_backlog": True, "is_writing": False}
    stall.stalled(now_s=0, **looks)  # type: ignore[arg-type]

    assert not stall.stalled(now_s=100, **(looks | change))  # type: ignore[arg-type]
    assert not stall.stalled(now_s=150, **looks)  # type: ignore[arg-type]
