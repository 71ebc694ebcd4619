import json
from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.observations import REQUEST_COLUMNS
from serving.gateway.log_thinning import STEPS, Coarseness, thinned
from serving.gateway.request_log import MAX_ROWS, MAX_TIMES, Lines, count_requests, read_lines
from tests.unit.serving.gateway.test_request_log import HEADER, LINE, marker, record

MINUTES, HOURS = STEPS
KEPT = ("workspace", "endpoint_id", "version", "epoch", "role", "status", "response_flags", "kind", "instance")

requests = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["primary", "shadow", "probe"]),
        "ver": st.sampled_from(["digits/1", "digits/2"]),
        "st": st.sampled_from([200, 503, None]),
        "fl": st.sampled_from(["-", "UF", None]),
        "m": st.just("POST"),
        "p": st.sampled_from(["/v2/models/digits/infer", "/v2/models/digits/ready", None]),
        "end": st.integers(1_700_000_000_000, 1_700_000_400_000).map(str),
        "us": st.one_of(st.none(), st.integers(0, 10_000_000)),
        "dur": st.one_of(st.none(), st.integers(0, 10_000)),
        "up": st.one_of(st.none(), st.integers(0, 10_000_000)),
        "id": st.uuids().map(str),
    }
)


def read(lines: list[bytes]) -> Lines:
    return read_lines(b"".join(lines), header=HEADER, offset=100, region="local", is_final=True)


def rows_of(lines: list[bytes]) -> list[dict[str, Any]]:
    """Read lines in pieces, as the shipper does."""
    rows: list[dict[str, Any]] = []
    data = b"".join(lines)
    offset = 0
    while offset < len(data):
        piece = read_lines(data[offset:], header=HEADER, offset=offset, region="local", is_final=True)
        rows += [dict(zip(REQUEST_COLUMNS, row, strict=True)) for row in piece.rows]
        offset += piece.consumed
    return rows


def counted(rows: list[dict[str, Any]], *, span_ms: int) -> Counter[tuple[Any, ...]]:
    return Counter((row["ended_at_ms"] // span_ms, *(row[name] for name in KEPT)) for row in rows)


@pytest.mark.parametrize("step", STEPS, ids=["minutes", "hours"])
@given(st.lists(requests, max_size=60))
def test_every_request_counts_as_before(step: Coarseness, asked: list[dict[str, Any]]) -> None:
    lines = [record(**each) for each in asked]

    fewer = list(thinned(lines, step))

    assert counted(rows_of(fewer), span_ms=step.span_ms) == counted(rows_of(lines), span_ms=step.span_ms)
    assert len(fewer) <= len(lines)
    assert count_requests(fewer) == len(lines)


@given(st.lists(requests, max_size=60))
def test_a_file_thinned_twice_counts_as_before(asked: list[dict[str, Any]]) -> None:
    lines = [record(**each) for each in asked]

    fewer = list(thinned(thinned(lines, MINUTES), HOURS))

    assert counted(rows_of(fewer), span_ms=HOURS.span_ms) == counted(rows_of(lines), span_ms=HOURS.span_ms)


def test_what_is_lost_is_the_id_the_trace_and_the_exact_time() -> None:
    lines = [
        record(id="a", us=4_321_000, start="1700000000000", end="1700000004321", rx=10, tx=100, up=2_000),
        record(id="b", us=4_325_000, start="1700000001000", end="1700000005325", rx=30, tx=200, up=4_000, tp="00-x"),
    ]

    first, second = rows_of(list(thinned(lines, MINUTES)))

    assert (first["prediction_id"], first["trace_id"]) == ("", "")
    assert first["ended_at_ms"] == second["ended_at_ms"] == 1_700_000_005_325
    assert first["duration_ms"] == pytest.approx(4_321, rel=2**-7)
    assert first["started_at_ms"] == first["ended_at_ms"] - int(first["duration_ms"])
    assert (first["request_bytes"], first["response_bytes"], first["upstream_ms"]) == (20, 150, 3.0)
    assert first["byte_offset"] != second["byte_offset"]


def test_rows_of_a_line_have_offsets_of_their_own_within_it() -> None:
    lines = list(thinned([record() for _ in range(3 * MAX_TIMES + 5)], MINUTES))

    offsets = [row["byte_offset"] for row in rows_of(lines)]

    assert len(lines) == 4
    assert all(len(line) > MAX_TIMES for line in lines)
    assert len(set(offsets)) == 3 * MAX_TIMES + 5


def test_a_line_of_few_words_is_long_enough_for_its_requests() -> None:
    unknown = json.dumps({"role": "primary", "end": LINE["end"]}).encode() + b"\n"

    (line,) = thinned([unknown] * MAX_TIMES, MINUTES)

    assert len(line) > MAX_TIMES
    assert len({row["byte_offset"] for row in rows_of([line])}) == MAX_TIMES


def test_a_piece_ends_when_it_has_enough_rows() -> None:
    lines = list(thinned([record() for _ in range(2 * MAX_ROWS)], MINUTES))

    piece = read(lines)

    assert MAX_ROWS <= len(piece.rows) < MAX_ROWS + MAX_TIMES
    assert piece.consumed < len(b"".join(lines))
    assert len(rows_of(lines)) == 2 * MAX_ROWS


def test_the_last_marker_of_each_worker_comes_after_the_records() -> None:
    lines = [marker(0, 5), record(), marker(1, 7), marker(0, 9), record()]

    fewer = list(thinned(lines, MINUTES))

    assert fewer[1:] == [marker(0, 9), marker(1, 7)]
    assert read(fewer).markers == read(lines).markers


@pytest.mark.parametrize(
    "line",
    [b"not JSON\n", b'{"role": "primary", "end": "yesterday"}\n', record(st=70_000), b"[" * 100_000 + b"\n", b"\xff\n"],
    ids=["no_json", "no_time", "too_large", "too_deep", "no_text"],
)
def test_what_is_no_record_stays_a_dead_letter(line: bytes) -> None:
    fewer = list(thinned([line, record(), record()], MINUTES))

    assert line in fewer
    assert [dead.line for dead in read(fewer).dead] == [line]
    assert len(read(fewer).rows) == 2


def test_a_torn_last_line_does_not_swallow_the_next_one() -> None:
    fewer = list(thinned([record()[:40], record()], MINUTES))

    assert len(read(fewer).dead) == 1
    assert len(read(fewer).rows) == 1


def test_a_number_of_times_is_never_taken_from_afar() -> None:
    piece = read([record(times=MAX_TIMES + 1), record(times=0), record(times="many")])

    assert len(piece.dead) == 3


def test_steps_grow_coarser() -> None:
    assert [msgspec.structs.astuple(step) for step in STEPS] == sorted(
        (msgspec.structs.astuple(step) for step in STEPS), key=lambda values: (values[0], -values[1])
    )
