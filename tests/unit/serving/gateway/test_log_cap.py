import asyncio
from pathlib import Path

import pytest

from serving.gateway.log_cap import LogCap
from serving.gateway.log_files import begin_log, log_numbers, log_path, read_header
from serving.gateway.log_reader import LogReader
from serving.gateway.request_shipper import begin_source
from serving.gateway.shipping import RequestShipper
from tests.support.records import KeepingSink
from tests.unit.serving.gateway.test_request_log import marker, record

FILES, RECORDS = 6, 400


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with full log files, and the one that Envoy writes to."""
    for number in range(FILES):
        path = begin_log(tmp_path, gateway_id="g", workers=1)
        lines = [record(id=f"{number}-{each}", ver=f"digits/{each % 2}") for each in range(RECORDS)]
        with path.open("ab") as file:
            file.writelines([*lines, marker(0, 1_700_000_000_004 + number)])
    return tmp_path


@pytest.fixture
def sink() -> KeepingSink:
    return KeepingSink()


def cap_of(folder: Path, *, max_bytes: int, in_use: int = 1) -> LogCap:
    return LogCap(folder, reader=LogReader(folder, region="local"), max_bytes=max_bytes, in_use=lambda: in_use)


def steps_of(folder: Path) -> list[int]:
    return [read_header(log_path(folder, number))[0].thinned for number in log_numbers(folder)]


async def ship_all(shipper: RequestShipper) -> None:
    while (await shipper.ship_next()).consumed:
        pass


async def test_a_log_within_its_size_is_left_alone(folder: Path) -> None:
    cap = cap_of(folder, max_bytes=10**9)

    await cap.keep_within()

    assert steps_of(folder) == [0] * FILES
    assert cap.without_detail == 0


async def test_the_oldest_files_lose_detail_first_and_no_more_than_needed(folder: Path) -> None:
    cap = cap_of(folder, max_bytes=0)
    cap = cap_of(folder, max_bytes=cap.size_bytes() - 1)

    await cap.keep_within()

    assert steps_of(folder) == [0, 1, 0, 0, 0, 0]
    assert cap.without_detail == RECORDS


async def test_the_files_in_use_are_never_touched(folder: Path) -> None:
    cap = cap_of(folder, max_bytes=1, in_use=2)

    await cap.keep_within()

    # The first two the shipper may read again, and to the last one Envoy writes.
    assert steps_of(folder) == [0, 0, 2, 2, 2, 0]
    assert cap.without_detail == 3 * RECORDS


async def test_a_file_taken_up_meanwhile_stays_whole(folder: Path) -> None:
    in_use = iter([1, 6, 6])
    cap = LogCap(folder, reader=LogReader(folder, region="local"), max_bytes=1, in_use=lambda: next(in_use, 6))

    await cap.keep_within()

    assert steps_of(folder)[1] == 0
    assert not list(folder.glob(".requests-*.part"))


async def test_what_is_shipped_later_counts_every_request(folder: Path, sink: KeepingSink) -> None:
    shipper = await begin_source(folder, sink, region="local")
    await shipper.ship_next()
    cap = LogCap(folder, reader=LogReader(folder, region="local"), max_bytes=1, in_use=lambda: shipper.file_in_use)

    await cap.keep_within()
    size = cap.size_bytes()
    await ship_all(shipper)

    rows = [row for _, rows in sink.batches for row in rows]
    assert len(rows) == FILES * RECORDS
    assert len({(row["file_number"], row["byte_offset"]) for row in rows}) == FILES * RECORDS
    assert sum(row["version"] == "digits/1" for row in rows) == FILES * RECORDS // 2
    assert sum(row["prediction_id"] == "" for row in rows) == cap.without_detail == 3 * RECORDS
    assert shipper.progress.closed_until_ms == 1_700_000_000_004 + FILES - 1
    assert size < 3.2 * log_path(folder, FILES).stat().st_size


class FullDisk:
    """Refuses to write files to disk for the first so many times."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals

    def fsync(self, _: int) -> None:
        self.refusals -= 1
        if self.refusals >= 0:
            raise OSError(28, "No space left on device")


async def test_a_full_disk_leaves_the_log_as_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.gateway.log_cap.os.fsync", FullDisk(1).fsync)
    cap = cap_of(folder, max_bytes=1)

    with pytest.raises(OSError, match="No space"):
        await cap.keep_within()

    assert steps_of(folder) == [0] * FILES
    assert list(folder.glob("*.part")) == []


async def test_what_a_crash_left_is_deleted(folder: Path) -> None:
    left = folder / ".requests-3.log.part"
    left.write_bytes(b"half")
    running = asyncio.create_task(cap_of(folder, max_bytes=10**9).run())
    async with asyncio.timeout(30):
        while left.exists():
            await asyncio.sleep(0)
    running.cancel()

    assert len(log_numbers(folder)) == FILES


async def test_the_cap_goes_on_after_trouble(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.gateway.log_cap._EVERY_S", 0.0)
    monkeypatch.setattr("serving.gateway.log_cap.os.fsync", FullDisk(2).fsync)
    cap = cap_of(folder, max_bytes=1)

    running = asyncio.create_task(cap.run())
    async with asyncio.timeout(30):
        while 2 not in steps_of(folder):
            await asyncio.sleep(0)
    running.cancel()
