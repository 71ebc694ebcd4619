import os
from pathlib import Path

import pytest

from serving.gateway import names
from serving.gateway.log_files import begin_log, log_numbers, log_path
from serving.gateway.log_reader import LogReader, Place
from serving.gateway.request_shipper import begin_source
from serving.gateway.shipping import RequestShipper, read_progress
from tests.support.records import KeepingSink
from tests.unit.serving.gateway.test_request_log import marker, record


@pytest.fixture
def sink() -> KeepingSink:
    return KeepingSink()


async def begin(folder: Path, sink: KeepingSink) -> RequestShipper:
    return await begin_source(folder, sink, region="local")


def write(path: Path, *lines: bytes) -> None:
    with path.open("ab") as file:
        file.write(b"".join(lines))


async def test_batches_are_numbered_without_gaps_also_when_empty(tmp_path: Path, sink: KeepingSink) -> None:
    log = begin_log(tmp_path, gateway_id="g", workers=1)
    shipper = await begin(tmp_path, sink)

    await shipper.ship_next()
    write(log, record())
    await shipper.ship_next()
    await shipper.ship_next(state="closing")

    assert [(header.batch, header.rows, header.state) for header, _ in sink.batches] == [
        (0, 0, "open"),
        (1, 1, "open"),
        (2, 0, "closing"),
    ]


async def test_it_is_closed_until_the_oldest_of_the_workers_last_markers(tmp_path: Path, sink: KeepingSink) -> None:
    log = begin_log(tmp_path, gateway_id="g", workers=2)
    shipper = await begin(tmp_path, sink)

    for lines in ([marker(0, 100)], [marker(1, 90)], [marker(0, 200)], [marker(1, 150)]):
        write(log, *lines)
        await shipper.ship_next()

    assert [header.closed_until_ms for header, _ in sink.batches] == [0, 90, 90, 150]


async def test_another_gateway_closes_nothing_until_its_own_workers_are_heard(
    tmp_path: Path, sink: KeepingSink
) -> None:
    write(begin_log(tmp_path, gateway_id="g", workers=1), marker(0, 100))
    shipper = await begin(tmp_path, sink)
    await shipper.ship_next()
    write(begin_log(tmp_path, gateway_id="h", workers=2), marker(0, 300))
    await shipper.ship_next()
    await shipper.ship_next()

    assert sink.batches[-1][0].closed_until_ms == 100


async def test_each_boot_on_one_log_names_it_and_another_log_has_another_name(
    tmp_path: Path, sink: KeepingSink
) -> None:
    for folder in (tmp_path / "one", tmp_path / "one", tmp_path / "other"):
        folder.mkdir(exist_ok=True)
        shipper = await begin(folder, sink)
        await shipper.ship_next()

    by_source = {header.source: header.log_id for header, _ in sink.batches}
    first, second, other = by_source.values()
    assert first == second != other
    assert {header.log_id for header, _ in sink.batches} == {first, other}


@pytest.mark.parametrize("moment", ["fails_before", "fails_after"])
async def test_a_crash_at_either_moment_loses_no_row_and_ends_the_source(
    tmp_path: Path, sink: KeepingSink, moment: str
) -> None:
    log = begin_log(tmp_path, gateway_id="g", workers=1)
    first = await begin(tmp_path, sink)
    write(log, record(), record())
    setattr(sink, moment, True)
    with pytest.raises(ConnectionError):
        await first.ship_next()
    setattr(sink, moment, False)
    write(log, record())

    second = await begin(tmp_path, sink)
    await second.ship_next()

    headers = [header for header, _ in sink.batches]
    again = {(header.source, header.batch): rows for header, rows in sink.batches if header.batch == 0}
    assert len(sink.rows) == 3
    assert all(rows == again[header.source, 0] for header, rows in sink.batches if header.batch == 0)
    assert [header.state for header in headers if header.source == first.progress.source][-1] == "closing"
    assert headers[-1].source == second.progress.source != first.progress.source


async def test_a_file_is_deleted_only_when_its_end_is_acknowledged(tmp_path: Path, sink: KeepingSink) -> None:
    write(begin_log(tmp_path, gateway_id="g", workers=1), record())
    shipper = await begin(tmp_path, sink)
    write(begin_log(tmp_path, gateway_id="g", workers=1), record())
    sink.fails_before = True
    with pytest.raises(ConnectionError):
        await shipper.ship_next()
    assert log_numbers(tmp_path) == [1, 2]

    sink.fails_before = False
    await shipper.ship_next()
    await shipper.ship_next()

    assert log_numbers(tmp_path) == [2]
    assert [file for _, file, _ in sink.rows] == [1, 2]


async def test_a_live_file_is_not_left_while_its_gateway_may_still_write(tmp_path: Path, sink: KeepingSink) -> None:
    first = begin_log(tmp_path, gateway_id="g", workers=1)
    shipper = await begin(tmp_path, sink)
    begin_log(tmp_path, gateway_id="g", workers=1)
    await shipper.ship_next()
    write(first, record())
    await shipper.ship_next()

    assert [file for _, file, _ in sink.rows] == [1]
    assert shipper.progress.place.file_number == 1


async def test_half_a_line_of_a_dead_gateway_goes_to_the_dead_letters(tmp_path: Path, sink: KeepingSink) -> None:
    write(begin_log(tmp_path, gateway_id="g", workers=1), record(), record()[:20])
    begin_log(tmp_path, gateway_id="h", workers=1)
    shipper = await begin(tmp_path, sink)

    await shipper.ship_next()

    assert sink.dead == [record()[:20]]
    assert shipper.progress.place == Place(file_number=2, offset=0)


def test_the_number_of_a_deleted_file_is_not_given_again(tmp_path: Path) -> None:
    begin_log(tmp_path, gateway_id="g", workers=1)
    LogReader(tmp_path, region="local").delete_before(2)

    assert begin_log(tmp_path, gateway_id="g", workers=1).name == "requests-2.log"


async def test_the_position_is_on_disk_before_anything_is_sent(tmp_path: Path, sink: KeepingSink) -> None:
    write(begin_log(tmp_path, gateway_id="g", workers=1), record())
    shipper = await begin(tmp_path, sink)
    sink.fails_before = True
    with pytest.raises(ConnectionError):
        await shipper.ship_next()

    kept = read_progress(tmp_path / names.SHIPPER_POSITION)
    assert kept
    assert kept.intent
    assert kept.intent.end.offset > kept.intent.start.offset


@pytest.mark.parametrize("header", [b"", b'{"gateway_id":"g","file_n', b"\0\0\0\0"], ids=["empty", "cut", "zeros"])
async def test_a_file_without_its_header_is_passed_and_its_records_count(
    tmp_path: Path, sink: KeepingSink, header: bytes
) -> None:
    damaged = log_path(tmp_path, 1)
    write(damaged, header, *([b"\n", record(), marker(0, 500)] if header else []))
    write(begin_log(tmp_path, gateway_id="h", workers=1), record(), marker(0, 100))
    shipper = await begin(tmp_path, sink)

    await shipper.ship_next()
    await shipper.ship_next()

    records = [(gateway, file) for gateway, file, _ in sink.rows]
    assert records == ([("unknown-requests-1", 1)] if header else []) + [("h", 2)]
    assert sink.dead == ([header + b"\n"] if header else [])
    assert [header.closed_until_ms for header, _ in sink.batches] == [0, 100]


async def test_a_crash_while_a_damaged_file_is_shipped_sends_the_same_rows_again(
    tmp_path: Path, sink: KeepingSink
) -> None:
    write(log_path(tmp_path, 1), b"\0\n", record())
    first = await begin(tmp_path, sink)
    sink.fails_after = True
    with pytest.raises(ConnectionError):
        await first.ship_next()
    sink.fails_after = False

    await begin(tmp_path, sink)

    assert len(sink.rows) == 1
    assert sink.batches[0][1] == sink.batches[1][1]


def test_a_log_and_its_name_are_on_disk_before_anything_is_written_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forced: list[str] = []

    def fsync(handle: int) -> None:
        forced.append(Path(f"/proc/self/fd/{handle}").readlink().name.split(".log")[0])

    monkeypatch.setattr(os, "fsync", fsync)

    begin_log(tmp_path, gateway_id="g", workers=1)

    assert forced == [".requests-1", tmp_path.name]
