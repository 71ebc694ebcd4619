import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.capture import records
from serving.capture.frames import MAX_SEGMENT_BYTES, name_of, pack, read_segment, segments, unpack
from serving.capture.records import Mark, ObservationRecord
from serving.capture.spool import SpoolLimits, SpoolWriter
from serving.capture.spool_reader import Frames, SpoolReader


def _record(number: int, *, detail: str = "") -> bytes:
    return records.encode(
        ObservationRecord(
            prediction_id=str(number),
            captured_at_ms=number,
            status=200,
            engine_ms=0.5,
            prediction=str(number % 10),
            inputs=detail,
            outputs=detail,
        )
    )


def _writer(directory: Path, **limits: int) -> SpoolWriter:
    return SpoolWriter(directory, limits=SpoolLimits(**limits), without_detail=records.without_detail)


def _read_all(reader: SpoolReader, position: int = 0) -> tuple[list[bytes], int]:
    payloads: list[bytes] = []
    lost = 0
    while True:
        frames = reader.read(position, max_frames=7, max_bytes=10_000)
        lost += frames.lost
        position = frames.next_position
        payloads += frames.payloads
        if not frames.payloads:
            return payloads, lost


def _ids(payloads: list[bytes]) -> list[int]:
    return [
        int(record.prediction_id) for record in map(records.decode, payloads) if isinstance(record, ObservationRecord)
    ]


@given(st.lists(st.binary(min_size=1, max_size=200)), st.integers(min_value=0, max_value=400))
def test_cutting_a_segment_anywhere_leaves_a_prefix_of_its_frames(payloads: list[bytes], cut: int) -> None:
    content = b"".join(map(pack, payloads))

    found = [payload for payload, _ in unpack(content[: max(0, len(content) - cut)])]

    assert found == payloads[: len(found)]
    assert cut or found == payloads


@given(st.binary(min_size=1, max_size=50), st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_a_changed_byte_is_noticed(payload: bytes, place: int, change: int) -> None:
    content = bytearray(pack(payload))
    content[place % len(content)] ^= change

    assert [found for found, _ in unpack(bytes(content))] != [payload]


def test_what_is_written_over_many_segments_is_read_in_order(tmp_path: Path) -> None:
    writer = _writer(tmp_path, segment_bytes=300)
    for number in range(100):
        writer.append([_record(number)])

    payloads, lost = _read_all(SpoolReader(tmp_path))

    assert (_ids(payloads), lost) == (list(range(100)), 0)
    assert len(segments(tmp_path)) > 3


def test_an_open_segment_is_read_as_it_grows(tmp_path: Path) -> None:
    writer, reader = _writer(tmp_path), SpoolReader(tmp_path)
    writer.append([_record(0), _record(1)])
    first = reader.read(0, max_frames=10, max_bytes=10_000)
    writer.append([_record(2)])

    second = reader.read(first.next_position, max_frames=10, max_bytes=10_000)

    assert (_ids(first.payloads), _ids(second.payloads)) == ([0, 1], [2])


def test_a_fresh_reader_goes_on_from_a_stored_position(tmp_path: Path) -> None:
    writer = _writer(tmp_path, segment_bytes=200)
    for number in range(30):
        writer.append([_record(number)])

    payloads, _ = _read_all(SpoolReader(tmp_path), position=17)

    assert _ids(payloads) == list(range(17, 30))


def test_a_torn_tail_of_the_last_segment_is_waited_for(tmp_path: Path) -> None:
    whole, torn = pack(_record(0)), pack(_record(1))
    path = tmp_path / name_of(0)
    path.write_bytes(whole + torn[:-3])
    reader = SpoolReader(tmp_path)
    before = reader.read(0, max_frames=10, max_bytes=10_000)

    path.write_bytes(whole + torn)

    assert _ids(before.payloads) == [0]
    assert _ids(reader.read(before.next_position, max_frames=10, max_bytes=10_000).payloads) == [1]


def test_frames_behind_a_torn_tail_count_as_lost(tmp_path: Path) -> None:
    (tmp_path / name_of(0)).write_bytes(pack(_record(0)) + pack(_record(1))[:-3])
    (tmp_path / name_of(4)).write_bytes(pack(_record(4)))

    payloads, lost = _read_all(SpoolReader(tmp_path))

    assert (_ids(payloads), lost) == ([0, 4], 3)


def test_a_full_spool_loses_detail_before_it_loses_records(tmp_path: Path) -> None:
    writer = _writer(tmp_path, segment_bytes=4_000, max_bytes=20_000)
    for number in range(60):
        writer.append([_record(number, detail="x" * 400)])

    payloads, lost = _read_all(SpoolReader(tmp_path))

    kept = [record for record in map(records.decode, payloads) if isinstance(record, ObservationRecord)]
    assert (_ids(payloads), lost, writer.dropped) == (list(range(60)), 0, 0)
    assert (kept[0].inputs, kept[0].prediction) == ("", "0")
    assert kept[-1].inputs == "x" * 400


def test_a_spool_stays_within_its_bound_and_counts_what_it_drops(tmp_path: Path) -> None:
    writer = _writer(tmp_path, segment_bytes=1_000, max_bytes=10_000)
    for number in range(3_000):
        writer.append([_record(number)])

    payloads, lost = _read_all(SpoolReader(tmp_path))

    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 11_000
    assert lost == writer.dropped > 0
    assert _ids(payloads) == list(range(lost, 3_000))


def test_shipped_segments_are_deleted_and_the_open_one_stays(tmp_path: Path) -> None:
    writer, reader = _writer(tmp_path, segment_bytes=200), SpoolReader(tmp_path)
    for number in range(30):
        writer.append([_record(number)])

    reader.delete_before(30)

    assert len(segments(tmp_path)) == 1
    writer.append([_record(30)])
    assert _ids(reader.read(30, max_frames=5, max_bytes=10_000).payloads) == [30]


def test_a_write_that_fails_drops_its_frames_and_the_next_one_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = _writer(tmp_path)
    writer.append([_record(0)])
    with monkeypatch.context() as patched:
        patched.setattr("os.write", _full_disk)
        writer.append([_record(1)])
    writer.append([_record(2)])

    payloads, lost = _read_all(SpoolReader(tmp_path))

    assert (_ids(payloads), writer.dropped, lost) == ([0, 2], 1, 0)


def test_on_a_full_disk_the_oldest_segment_makes_room_for_the_newest_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = _writer(tmp_path, segment_bytes=2_000)
    for number in range(20):
        writer.append([_record(number, detail="x" * 200)])
    disk = _Disk(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr("os.write", disk.write)
        writer.append([_record(20, detail="x" * 200), records.encode(Mark(20, seen=21))])

    payloads, lost = _read_all(SpoolReader(tmp_path))

    assert lost == writer.dropped > 0
    assert _ids(payloads) == list(range(lost, 21))
    newest = records.decode(payloads[-2])
    assert isinstance(newest, ObservationRecord)
    assert (newest.inputs, newest.prediction) == ("", "0")
    assert records.decode(payloads[-1]) == Mark(20, seen=21)


def test_a_segment_that_cannot_be_made_slim_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = _writer(tmp_path, segment_bytes=4_000, max_bytes=20_000)
    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.write_bytes", _full_disk)
        for number in range(60):
            writer.append([_record(number, detail="x" * 400)])

    assert not list(tmp_path.glob("*.tmp"))
    writer.append([_record(60)])
    assert _ids(_read_all(SpoolReader(tmp_path))[0]) == list(range(61))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 20_000


def test_what_is_no_segment_is_passed_by(tmp_path: Path) -> None:
    writer = _writer(tmp_path)
    writer.append([_record(0)])
    (tmp_path / "\u00b2.spool").write_bytes(b"x")
    (tmp_path / "1.spool").write_bytes(b"x")
    (tmp_path / name_of(7)).mkdir()

    assert [segment.first for segment in segments(tmp_path)] == [0]
    assert _ids(_read_all(SpoolReader(tmp_path))[0]) == [0]


def test_a_segment_with_a_hole_as_large_as_a_disk_is_read_up_to_a_bound(tmp_path: Path) -> None:
    path = tmp_path / name_of(0)
    path.write_bytes(pack(_record(0)))
    os.truncate(path, 1 << 40)

    assert _ids(_read_all(SpoolReader(tmp_path))[0]) == [0]
    assert len(read_segment(path)) == MAX_SEGMENT_BYTES


def test_an_empty_or_missing_spool_reads_as_nothing(tmp_path: Path) -> None:
    nothing = Frames(payloads=[], next_position=5, lost=0)

    assert SpoolReader(tmp_path).read(5, max_frames=1, max_bytes=1) == nothing
    assert SpoolReader(tmp_path / "none").read(5, max_frames=1, max_bytes=1) == nothing


def test_records_and_marks_survive_their_encoding() -> None:
    assert records.decode(records.encode(Mark(17))) == Mark(17)
    assert records.without_detail(records.encode(Mark(17))) == records.encode(Mark(17))


class _Disk:
    """A disk that holds what a directory holds now, and no byte more."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._write = os.write
        self._room = self._used()

    def _used(self) -> int:
        return sum(path.stat().st_size for path in self._directory.iterdir())

    def write(self, handle: int, content: bytes) -> int:
        room = self._room - self._used()
        if room <= 0:
            _full_disk()
        return self._write(handle, content[:room])


def _full_disk(*_arguments: object) -> int:
    raise OSError(28, "No space left on device")
