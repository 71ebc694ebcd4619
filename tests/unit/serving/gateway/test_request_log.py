import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.observations import REQUEST_COLUMNS
from serving.gateway.log_files import LogFileHeader
from serving.gateway.request_batches import encode_rows
from serving.gateway.request_log import read_lines

HEADER = LogFileHeader(gateway_id="gateway-1", file_number=4, workers=1)
LINE = {
    "role": "primary",
    "id": "1700000000000-a",
    "ws": "default",
    "ep": "endpoint-1",
    "epn": "digits",
    "epoch": "3",
    "dep": "d1",
    "vid": "v1",
    "ver": "digits/1",
    "inst": "instance-1",
    "st": 200,
    "fl": "-",
    "att": 1,
    "start": "1700000000000",
    "end": "1700000000004",
    "dur": 4,
    "us": 4321,
    "up": 1234,
    "rx": 2,
    "tx": 3,
}


def record(**changes: object) -> bytes:
    return json.dumps({**LINE, **changes}).encode() + b"\n"


def marker(worker: int, end: int) -> bytes:
    return json.dumps({"role": "marker", "worker": f"/{worker}", "end": str(end)}).encode() + b"\n"


def rows_of(data: bytes, *, is_final: bool = False) -> list[dict[str, object]]:
    lines = read_lines(data, header=HEADER, offset=100, region="local", is_final=is_final)
    return [dict(zip(REQUEST_COLUMNS, row, strict=True)) for row in lines.rows]


def test_a_record_keeps_who_served_and_where_it_stood() -> None:
    first, second = rows_of(record() + record(ver="digits/2"))

    assert (first["version"], first["epoch"], first["status"], first["duration_ms"]) == ("digits/1", 3, 200, 4.321)
    assert first["response_flags"] == ""
    assert (second["gateway_id"], second["file_number"], second["byte_offset"]) == ("gateway-1", 4, 100 + len(record()))


def test_a_record_says_what_was_asked_for_if_the_line_does() -> None:
    asked, ready, earlier = rows_of(
        record(m="POST", p="/v2/models/digits/infer") + record(m="GET", p="/v2/models/digits/ready") + record()
    )

    assert [row["kind"] for row in (asked, ready, earlier)] == ["prediction", "health", ""]


def test_a_record_tells_who_answered_from_who_was_drawn() -> None:
    drawn = {"drawn": "d1", "dvid": "v1", "dver": "digits/1"}
    stood_in, nobody = rows_of(
        record(**drawn, dep="d2", vid="v2", ver="digits/2", ireg="us")
        + record(**drawn, dep=None, vid=None, ver=None, inst=None, st=503, fl="UO")
    )

    names = ("drawn_deployment_id", "deployment_id", "version_id", "version", "instance_region", "response_flags")
    assert tuple(stood_in[name] for name in names) == ("d1", "d2", "v2", "digits/2", "us", "")
    assert tuple(nobody[name] for name in names) == ("d1", "d1", "v1", "digits/1", "", "UO")


def test_a_record_tells_why_a_waiting_room_refused_and_believes_no_other_word() -> None:
    full, forged, both = rows_of(
        record(st=503, why="hold-full") + record(why="all-is-well") + record(st=503, fl="UC", why="hold-timeout")
    )

    assert [row["response_flags"] for row in (full, forged, both)] == ["hold-full", "", "UC,hold-timeout"]


def test_an_aborted_or_refused_request_has_status_0_or_no_endpoint() -> None:
    aborted, refused = rows_of(
        record(st=0, fl="DC", us=None, up=None) + record(st=401, ep=None, epn=None, epoch=None, dep=None)
    )

    assert (aborted["status"], aborted["response_flags"], aborted["duration_ms"]) == (0, "DC", 4.0)
    assert (aborted["upstream_ms"], aborted["endpoint_id"]) == (-1, "endpoint-1")
    assert (refused["endpoint"], refused["epoch"], refused["deployment_id"]) == ("", -1, "")


def test_markers_are_no_rows() -> None:
    lines = read_lines(marker(0, 5) + record() + marker(1, 6) + marker(0, 9), header=HEADER, offset=0, region="r")

    assert len(lines.rows) == 1
    assert lines.markers == {0: 9, 1: 6}


def test_what_cannot_be_read_is_dead_and_the_rest_goes_on() -> None:
    lines = read_lines(b"garbage\n" + record(), header=HEADER, offset=7, region="r")

    assert [(dead.line, dead.byte_offset) for dead in lines.dead] == [(b"garbage\n", 7)]
    assert len(lines.rows) == 1


def test_a_half_line_waits_and_is_dead_only_at_the_end_of_a_final_file() -> None:
    half = record()[:-5]

    waiting = read_lines(record() + half, header=HEADER, offset=0, region="r")
    ended = read_lines(record() + half, header=HEADER, offset=0, region="r", is_final=True)

    assert (waiting.consumed, len(waiting.dead)) == (len(record()), 0)
    assert (ended.consumed, len(ended.dead)) == (len(record() + half), 1)


@given(cuts=st.lists(st.integers(0, 2_000), max_size=6))
def test_a_file_read_in_any_pieces_gives_the_same_rows(cuts: list[int]) -> None:
    data = b"".join(record(id=f"{n}") for n in range(6))
    whole = read_lines(data, header=HEADER, offset=0, region="r").rows
    pieces, offset = [], 0

    for end in [*sorted(cuts), len(data)]:
        lines = read_lines(data[offset : max(end, offset)], header=HEADER, offset=offset, region="r")
        pieces += lines.rows
        offset += lines.consumed

    assert pieces == whole


@pytest.mark.parametrize(
    "change", [{"st": 70_000}, {"att": 2**40}, {"rx": 2**64}, {"start": "9" * 20}, {"end": "9" * 20}]
)
def test_a_number_that_no_column_holds_makes_a_dead_line(change: dict[str, object]) -> None:
    lines = read_lines(record(**change) + record(), header=HEADER, offset=0, region="local")

    assert encode_rows(lines.rows)
    assert (len(lines.rows), len(lines.dead)) == (1, 1)


def test_a_failure_of_grpc_counts_as_rest_would_have_told_it() -> None:
    found = rows_of(b"".join(record(gs=status) for status in (None, 0, 3, 13, 14, 2)) + record(gs=14, st=0))

    assert [row["status"] for row in found] == [200, 200, 400, 500, 503, 500, 0]


@pytest.mark.parametrize(
    ("traceparent", "trace_id"),
    [
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "4bf92f3577b34da6a3ce929d0e0e4736"),
        ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", ""),
        ("x' OR 1", ""),
        (None, ""),
    ],
)
def test_a_record_keeps_a_trace_that_is_one(traceparent: str | None, trace_id: str) -> None:
    (row,) = rows_of(record(tp=traceparent))

    assert row["trace_id"] == trace_id
