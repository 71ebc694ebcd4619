"""The two files of results after kills, torn lines and a full disk: each request has one line, or none yet."""

import asyncio
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from workers.batch_server import results as module
from workers.batch_server.results import ERRORS, OUTPUT, Result, Results, answered, unanswered
from workers.batch_server.wire import LineError, LineResponse

BATCH = "batch-019a0000-0000-7000-8000-0000000000b1"
REQUESTS = 6


def answer(number: int, *, status: int = 200) -> Result:
    response = LineResponse(status_code=status, request_id=f"p{number}", body=msgspec.Raw(b'{"text":"x"}'))
    return answered(BATCH, number, f"line-{number}", response=response)


async def written(folder: Path, *put: Result) -> Results:
    """Write results in one process's life."""
    results = Results(folder, requests=REQUESTS)
    results.open()
    writer = asyncio.create_task(results.write_forever())
    for result in put:
        await results.put(result)
    await results.written()
    writer.cancel()
    await asyncio.gather(writer, return_exceptions=True)
    results.close()
    return results


def reopened(folder: Path) -> Results:
    results = Results(folder, requests=REQUESTS)
    results.open()
    results.close()
    return results


def done(results: Results) -> list[int]:
    return [number for number in range(REQUESTS) if results.is_done(number)]


def read(path: Path) -> list[str]:
    return [json.loads(line)["custom_id"] for line in path.read_text().splitlines()]


async def test_answers_and_errors_part_and_are_known_after_a_kill(tmp_path: Path) -> None:
    gone = unanswered(BATCH, 2, "line-2", error=LineError(code="request_timeout", message="late"))

    before = await written(tmp_path, answer(0), answer(1, status=404), gone, answer(5))
    after = reopened(tmp_path)

    assert read(tmp_path / OUTPUT) == ["line-0", "line-5"]
    assert read(tmp_path / ERRORS) == ["line-1", "line-2"]
    assert done(before) == done(after) == [0, 1, 2, 5]
    assert before.counts == after.counts == {True: 2, False: 2}
    assert after.left == 2


async def test_a_line_on_disk_is_openais(tmp_path: Path) -> None:
    await written(tmp_path, answer(3), unanswered(BATCH, 4, "four", error=LineError(code="c", message="m")))

    assert json.loads((tmp_path / OUTPUT).read_text()) == {
        "id": "batch_req_019a0000-0000-7000-8000-0000000000b1_3",
        "custom_id": "line-3",
        "response": {"status_code": 200, "request_id": "p3", "body": {"text": "x"}},
        "error": None,
    }
    assert json.loads((tmp_path / ERRORS).read_text()) == {
        "id": "batch_req_019a0000-0000-7000-8000-0000000000b1_4",
        "custom_id": "four",
        "response": None,
        "error": {"code": "c", "message": "m"},
    }


@pytest.mark.parametrize(
    "torn", [b"{", answer(2).line[:-1], answer(2).line[:30], b"\0" * 40, b"\xff\n", b'{"id":"x"}\n', b'{"id":"x_99"}\n']
)
async def test_a_torn_end_is_cut_off_and_its_request_asked_again(tmp_path: Path, torn: bytes) -> None:
    await written(tmp_path, answer(0), answer(1))
    with (tmp_path / OUTPUT).open("ab") as file:
        file.write(torn)

    after = await written(tmp_path, answer(2))

    assert read(tmp_path / OUTPUT) == ["line-0", "line-1", "line-2"]
    assert done(after) == [0, 1, 2]


async def test_a_kill_at_any_byte_leaves_whole_lines(tmp_path: Path) -> None:
    await written(tmp_path, answer(0), answer(1), answer(2))
    content = (tmp_path / OUTPUT).read_bytes()

    for size in range(len(content) + 1):
        (tmp_path / OUTPUT).write_bytes(content[:size])
        kept = reopened(tmp_path)
        assert len(read(tmp_path / OUTPUT)) == len(done(kept)) == content[:size].count(b"\n")


async def test_while_the_disk_is_full_nothing_is_lost_or_doubled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TRY_AGAIN_S", 0.001)
    full = _full_at(monkeypatch, calls=(2, 3, 5))

    results = await written(
        tmp_path, *(answer(number, status=200 if number % 2 else 400) for number in range(REQUESTS))
    )

    assert full() >= 3, "the disk was full"
    assert sorted(read(tmp_path / OUTPUT) + read(tmp_path / ERRORS)) == [f"line-{number}" for number in range(REQUESTS)]
    assert done(results) == list(range(REQUESTS))


def _full_at(monkeypatch: pytest.MonkeyPatch, *, calls: tuple[int, ...]) -> Callable[[], int]:
    """Let some writes of this process fail half-way, as they do on a full disk."""
    write, count = os.write, 0

    def failing(handle: int, data: memoryview) -> int:
        nonlocal count
        count += 1
        if count in calls:
            write(handle, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(handle, data)

    monkeypatch.setattr(os, "write", failing)
    return lambda: count
