import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from infra.background import Background, BackOff
from schemas.observations import OBSERVATION_COLUMNS, BatchHeaders, batch_headers
from serving.capture import records
from serving.capture.records import Mark, ObservationRecord
from serving.capture.spool import SpoolLimits, SpoolWriter
from tests.support.fakes import FakeClock
from workers.serving_agent.shipping import CAPTURED, MAX_FRAMES, Destination, SourceShipper, SpoolShipping, Totals
from workers.serving_agent.spool_sources import SpoolSource, sources, write_source

SOURCE = SpoolSource(
    boot_id="boot-1",
    workspace="default",
    endpoint_id="endpoint-1",
    deployment_id="deployment-1",
    version_id="version-1",
    instance_id="instance-1",
)


class CrashError(Exception):
    """The agent dies at this moment."""


class RecordingSink:
    """Keeps what it gets; dies before or after taking the message with the given numbers."""

    def __init__(self, sources: frozenset[str] = frozenset({"boot-1"})) -> None:
        self._sources = sources
        self.batches: list[tuple[BatchHeaders, list[dict[str, Any]]]] = []
        self.die_before: int | None = None
        self.die_after: int | None = None

    async def send(self, topic: str, *, key: str, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        assert topic == "inference.observations.v1"
        assert key in self._sources
        known = batch_headers(headers)
        if known.batch == self.die_before:
            self.die_before = None
            raise CrashError
        self.batches.append((known, pa.ipc.open_stream(value).read_all().to_pylist()))
        if known.batch == self.die_after:
            self.die_after = None
            raise CrashError


def _to(sink: RecordingSink) -> Destination:
    return Destination(sink=sink, stream=CAPTURED, region="local", log_id="log-1")


def _shipper(directory: Path, sink: RecordingSink) -> SourceShipper:
    return SourceShipper(directory, SOURCE, to=_to(sink), clock=FakeClock(now_ms=9_000), totals=Totals())


def _writer(directory: Path, **limits: int) -> SpoolWriter:
    return SpoolWriter(directory, limits=SpoolLimits(**limits), without_detail=records.without_detail)


def _record(number: int) -> bytes:
    return records.encode(
        ObservationRecord(
            prediction_id=f"p{number}",
            captured_at_ms=1_000 + number,
            status=200,
            engine_ms=0.5,
            prediction="7",
            inputs="{}",
            outputs="{}",
        )
    )


async def _ship_to_end(directory: Path, sink: RecordingSink) -> None:
    for _ in range(50):
        try:
            if await _shipper(directory, sink).ship_next(is_over=True) == "closing":
                return
        except CrashError:
            continue
    pytest.fail("the source was never closed")


def _rows(sink: RecordingSink) -> list[str]:
    """Join batches as ClickHouse does: one effect for each (batch, row)."""
    cells = {(row["batch"], row["row"]): row["prediction_id"] for _, rows in sink.batches for row in rows}
    return [cells[key] for key in sorted(cells)]


async def test_rows_carry_every_column_of_the_contract(tmp_path: Path) -> None:
    sink = RecordingSink()
    _writer(tmp_path).append([_record(0), records.encode(Mark(1_500))])

    await _shipper(tmp_path, sink).ship_next(is_over=False)

    headers, (row,) = sink.batches[0]
    assert list(row) == list(OBSERVATION_COLUMNS)
    assert (row["prediction_id"], row["boot_id"], row["batch"], row["row"]) == ("p0", "boot-1", 0, 0)
    assert (row["version_id"], row["instance_id"], row["prediction"]) == ("version-1", "instance-1", "7")
    assert (row["policy_version"], row["retention_days"]) == (0, 7)
    assert (headers.rows, headers.closed_until_ms, headers.state, headers.kind) == (1, 1_500, "open", "observations")
    assert headers.log_id == "log-1"


async def test_empty_batches_go_out_and_are_numbered(tmp_path: Path) -> None:
    sink = RecordingSink()
    shipper = _shipper(tmp_path, sink)

    for _ in range(3):
        assert await shipper.ship_next(is_over=False) == "open"

    assert [(headers.batch, headers.rows) for headers, _ in sink.batches] == [(0, 0), (1, 0), (2, 0)]


async def test_the_closed_time_comes_from_marks_and_never_goes_back(tmp_path: Path) -> None:
    sink, writer = RecordingSink(), _writer(tmp_path)
    shipper = _shipper(tmp_path, sink)
    for payloads in ([records.encode(Mark(500))], [_record(0)], [records.encode(Mark(2_000))]):
        writer.append(payloads)
        await shipper.ship_next(is_over=False)

    assert [headers.closed_until_ms for headers, _ in sink.batches] == [500, 500, 2_000]


async def test_counts_come_from_marks_and_outlive_the_records_that_a_full_spool_drops(tmp_path: Path) -> None:
    sink, writer = RecordingSink(), _writer(tmp_path, segment_bytes=1, max_bytes=200)
    for number in range(1, 20):
        writer.append([_record(number), records.encode(Mark(number, 2 * number, number))])

    await _ship_to_end(tmp_path, sink)

    assert len(_rows(sink)) < 19
    assert (sink.batches[-1][0].seen, sink.batches[-1][0].unsampled) == (38, 19)


async def test_a_source_that_is_over_ends_with_one_closing_batch(tmp_path: Path) -> None:
    sink = RecordingSink()
    _writer(tmp_path).append([_record(number) for number in range(MAX_FRAMES + 3)])

    await _ship_to_end(tmp_path, sink)

    assert [(headers.rows, headers.state) for headers, _ in sink.batches] == [
        (MAX_FRAMES, "open"),
        (3, "open"),
        (0, "closing"),
    ]
    assert sink.batches[-1][0].closed_until_ms == 9_000


@pytest.mark.parametrize("batch", [0, 1, 2])
@pytest.mark.parametrize("when", ["die_before", "die_after"])
async def test_a_crash_around_a_batch_changes_neither_its_rows_nor_the_numbers(
    tmp_path: Path, batch: int, when: str
) -> None:
    sink, writer = RecordingSink(), _writer(tmp_path)
    writer.append([_record(number) for number in range(MAX_FRAMES + 3)])
    setattr(sink, when, batch)
    for _ in range(batch):
        await _shipper(tmp_path, sink).ship_next(is_over=True)
    with pytest.raises(CrashError):
        await _shipper(tmp_path, sink).ship_next(is_over=True)

    # What is written after the crash must not slip into a batch that may have arrived already.
    if batch < 2:
        writer.append([_record(number) for number in range(MAX_FRAMES + 3, 2 * MAX_FRAMES)])
    await _ship_to_end(tmp_path, sink)

    assert [int(name[1:]) for name in _rows(sink)] == list(range(2 * MAX_FRAMES if batch < 2 else MAX_FRAMES + 3))
    numbers = [headers.batch for headers, _ in sink.batches]
    assert sorted(set(numbers)) == list(range(max(numbers) + 1))
    for number in set(numbers):
        same = [found for found in sink.batches if found[0].batch == number]
        assert all(found == same[0] for found in same)


async def test_a_batch_whose_rows_the_spool_dropped_meanwhile_goes_out_empty(tmp_path: Path) -> None:
    sink, writer = RecordingSink(), _writer(tmp_path, segment_bytes=200)
    for number in range(20):
        writer.append([_record(number)])
    sink.die_before = 0
    with pytest.raises(CrashError):
        await _shipper(tmp_path, sink).ship_next(is_over=False)
    next(iter(sorted(tmp_path.glob("*.spool")))).unlink()

    await _ship_to_end(tmp_path, sink)

    assert sink.batches[0][1] == []
    assert _rows(sink)[-1] == "p19"
    assert "p0" not in _rows(sink)


async def test_shipped_segments_are_deleted_once_they_are_acknowledged(tmp_path: Path) -> None:
    sink, writer = RecordingSink(), _writer(tmp_path, segment_bytes=200)
    for number in range(20):
        writer.append([_record(number)])

    await _ship_to_end(tmp_path, sink)

    assert len(list(tmp_path.glob("*.spool"))) == 1
    assert _rows(sink) == [f"p{number}" for number in range(20)]


async def test_a_frame_that_can_not_be_read_costs_only_itself(tmp_path: Path) -> None:
    sink = RecordingSink()
    _writer(tmp_path).append([_record(0), b"what is this", _record(1)])

    await _ship_to_end(tmp_path, sink)

    assert _rows(sink) == ["p0", "p1"]


def test_a_spool_says_whose_it_is(tmp_path: Path) -> None:
    write_source(tmp_path / "boot-1", SOURCE, is_of_engine=False)
    write_source(tmp_path / "boot-2", msgspec.structs.replace(SOURCE, boot_id="boot-2"), is_of_engine=False)
    (tmp_path / "boot-2" / "source.json").write_bytes(b"{")

    assert sources(tmp_path) == {tmp_path / "boot-1": SOURCE}


async def test_a_source_that_meets_a_bug_goes_on_where_it_stood_and_holds_up_no_other(tmp_path: Path) -> None:
    boots = frozenset({"boot-1", "boot-2"})
    for boot_id in boots:
        write_source(tmp_path / boot_id, msgspec.structs.replace(SOURCE, boot_id=boot_id), is_of_engine=False)
        _writer(tmp_path / boot_id).append([_record(number) for number in range(3)])
    sink, background = RecordingSink(boots), Background(back_off=BackOff(first_s=0.0, max_s=0.0))
    sink.die_after = 0
    clock = FakeClock(now_ms=9_000)
    shipping = SpoolShipping(tmp_path, to=_to(sink), clock=clock, boots=set, background=background)

    async with background.running({"shipping": shipping.run}), asyncio.timeout(60):
        await shipping.drained()

    for boot_id in boots:
        ids = [row["prediction_id"] for known, rows in sink.batches if known.source == boot_id for row in rows]
        assert sorted(set(ids)) == ["p0", "p1", "p2"]
    assert background.failures == {"shipping": 0, "agent-ships-source": 1}
    assert shipping.totals == Totals(batches=len(sink.batches) - 1, rows=6)
