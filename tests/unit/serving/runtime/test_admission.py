from pathlib import Path

import pytest

from serving.runtime.admission import Intake, MemoryBudget, MemoryShortError, available_bytes, resident_bytes
from serving.runtime.batching import RowLimit
from serving.runtime.errors import InvalidRequestError, OverloadedError, TooLargeError
from serving.runtime.rest_body import read_body
from serving.runtime.trace_context import trace_id_of


def test_bytes_above_the_bound_are_refused_until_others_are_answered() -> None:
    intake = Intake(limit_bytes=10)

    with intake.hold() as first:
        first.add(8)
        with intake.hold() as second, pytest.raises(OverloadedError):
            second.add(3)

    with intake.hold() as third:
        third.add(10)
    assert intake.held_bytes == 0


def test_a_model_that_leaves_too_little_memory_is_refused_with_numbers() -> None:
    budget = MemoryBudget(limit_bytes=0, reserve_bytes=0)

    budget.admit(1)
    with pytest.raises(MemoryShortError, match="MiB") as refusal:
        budget.admit(available_bytes() * 2)
    assert refusal.value.code == "memory-short"


def test_the_limit_of_the_process_counts_what_it_holds_already() -> None:
    budget = MemoryBudget(limit_bytes=resident_bytes() + 64 * 1024**2, reserve_bytes=0)

    budget.admit(1024**2)
    with pytest.raises(MemoryShortError):
        budget.admit(128 * 1024**2)


def test_the_row_limit_follows_the_time_that_calls_take() -> None:
    limit = RowLimit(max_rows=256, bound_ms=10)

    limit.learn(256, took_ms=40)
    halved = limit.rows
    limit.learn(128, took_ms=40)
    limit.learn(64, took_ms=8)

    assert (halved, limit.rows) == (128, 64)
    limit.learn(64, took_ms=2)
    assert limit.rows == 128


def test_one_slow_row_does_not_stop_the_batching_of_others() -> None:
    limit = RowLimit(max_rows=256, bound_ms=10)

    limit.learn(1, took_ms=1_000)

    assert limit.rows == 256


class Caller:
    """Sends a body in pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)

    async def receive(self) -> dict[str, object]:
        if not self._pieces:
            return {"type": "http.disconnect"}
        piece = self._pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": True}

    async def last(self) -> dict[str, object]:
        return {"type": "http.request", "body": self._pieces.pop(0), "more_body": bool(self._pieces)}


async def test_a_body_is_parted_where_its_header_says() -> None:
    with Intake(limit_bytes=100).hold() as hold:
        headers = {b"inference-header-content-length": b"2"}
        body = await read_body(headers, Caller(b"{", b"}ab").last, hold=hold, limit_bytes=100)

    assert (bytes(body.json), bytes(body.binary), hold.size_bytes) == (b"{}", b"ab", 4)


@pytest.mark.parametrize("length", [b"5", b"-1", b"x", b""])
async def test_a_wrong_length_of_the_json_is_refused(length: bytes) -> None:
    headers = {b"inference-header-content-length": length}

    with Intake(limit_bytes=100).hold() as hold, pytest.raises(InvalidRequestError, match="Header-Content-Length"):
        await read_body(headers, Caller(b"{}ab").last, hold=hold, limit_bytes=100)


async def test_a_body_is_bounded_compressed_bodies_and_halves_are_refused() -> None:
    with Intake(limit_bytes=100).hold() as hold:
        with pytest.raises(TooLargeError):
            await read_body({}, Caller(b"a" * 6, b"a" * 6).receive, hold=hold, limit_bytes=10)
        with pytest.raises(InvalidRequestError, match="compressed"):
            await read_body({b"content-encoding": b"gzip"}, Caller(b"").last, hold=hold, limit_bytes=10)
        with pytest.raises(InvalidRequestError, match="disconnected"):
            await read_body({}, Caller(b"{").receive, hold=hold, limit_bytes=10)


@pytest.mark.parametrize(
    ("header", "trace_id"),
    [
        (b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "4bf92f3577b34da6a3ce929d0e0e4736"),
        (b"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-later", "4bf92f3577b34da6a3ce929d0e0e4736"),
        (b"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None),
        (b"00-00000000000000000000000000000000-00f067aa0ba902b7-01", None),
        (b"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", None),
        (b"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", None),
        (b"", None),
    ],
)
def test_only_a_well_formed_trace_counts(header: bytes, trace_id: str | None) -> None:
    assert trace_id_of({b"traceparent": header}) == trace_id


def test_memory_is_read_from_the_machine() -> None:
    meminfo = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())

    total = int(meminfo["MemTotal"].split()[0]) * 1024
    assert 0 < resident_bytes() < available_bytes() < total
