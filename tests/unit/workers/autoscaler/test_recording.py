"""Recorded looks: a line each, bounded, the oldest gone first."""

from pathlib import Path

import msgspec

from schemas.scaling import Load, LoadSample
from workers.autoscaler.recording import RecordedLook, Recording


def look(at_ms: int) -> RecordedLook:
    sample = LoadSample(at_ms=at_ms, ready=1, load=Load(in_flight=1.0), is_busy=True, is_complete=True)
    return RecordedLook(endpoint_id="e", deployment_id="d", sample=sample)


def recorded(folder: Path) -> list[int]:
    files = sorted(folder.glob("looks-*.jsonl"), reverse=True)
    lines = [line for file in files for line in file.read_bytes().splitlines()]
    return [msgspec.json.decode(line, type=RecordedLook).sample.at_ms for line in lines]


def test_looks_are_kept_in_their_order(tmp_path: Path) -> None:
    recording = Recording(tmp_path, max_bytes=1_000_000)

    recording.append([look(1), look(2)])
    recording.append([look(3)])

    assert recorded(tmp_path) == [1, 2, 3]


def test_the_oldest_looks_go_first_and_the_room_is_kept(tmp_path: Path) -> None:
    line = len(msgspec.json.encode(look(100_000))) + 1
    recording = Recording(tmp_path, max_bytes=8 * 10 * line)

    for at_ms in range(100_000, 100_500):
        recording.append([look(at_ms)])

    kept = recorded(tmp_path)
    assert kept == list(range(kept[0], 100_500))
    assert 70 <= len(kept) <= 80


def test_without_room_nothing_is_written(tmp_path: Path) -> None:
    Recording(tmp_path / "none", max_bytes=0).append([look(1)])

    assert not (tmp_path / "none").exists()
