"""Parses Envoy's log lines: request records, and markers that prove completeness. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Annotated, Any

import msgspec

from schemas.observations import REQUEST_COLUMNS
from serving.gateway import names
from serving.gateway.log_files import LogFileHeader
from serving.gateway.request_kinds import request_kind

_UNKNOWN_NUMBER = -1
_MICROSECONDS = 1_000
_MARKER = "marker"
_OUR_CODES = frozenset({names.HOLD_FULL, names.HOLD_TIMEOUT})
_HTTP_OF_GRPC = {1: 499, 3: 400, 4: 504, 5: 404, 7: 403, 8: 429, 12: 501, 14: 503, 16: 401}
"""The HTTP status for a gRPC code; every other code is a failure of the engine.

In this order: cancelled, invalid argument, deadline exceeded, not found, permission denied, resource exhausted,
unimplemented, unavailable, unauthenticated.
"""


MAX_ROWS = 2_000
"""The rows of a piece, but for those that its last line adds to them."""


class DeadLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line that is not a record, with its offset."""

    line: bytes
    gateway_id: str
    file_number: int
    byte_offset: int
    reason: str


class Lines(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of a piece of a log file. `rows` have the columns of REQUEST_COLUMNS, in order.

    `markers` are the latest ends (Unix ms) by worker; `consumed` counts the bytes of complete lines.
    """

    rows: list[tuple[Any, ...]]
    dead: list[DeadLine]
    markers: dict[int, int]
    consumed: int


# What fits the columns: a larger value makes the line dead, because one such row would stop the shipper at each start.
_Short = Annotated[int, msgspec.Meta(ge=-(2**15), le=2**15 - 1)]
_Long = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_MAX_DIGITS = 18
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")


MAX_TIMES = 128
"""How many requests a thinned line may stand for. It is at least as long, so that each of them has an offset."""


class LogLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line as Envoy writes it, or as it is left by thinning: then it has `times`, and `kind` for method and path."""

    role: str
    end: str
    start: str = ""
    worker: str = ""
    id: str | None = None
    ws: str | None = None
    ep: str | None = None
    epn: str | None = None
    epoch: str | None = None
    drawn: str | None = None
    dvid: str | None = None
    dver: str | None = None
    dep: str | None = None
    vid: str | None = None
    ver: str | None = None
    inst: str | None = None
    ireg: str | None = None
    st: _Short | None = None
    gs: _Short | None = None
    fl: str | None = None
    why: str | None = None
    att: _Short | None = None
    dur: _Long | None = None
    us: _Long | None = None
    up: _Long | None = None
    rx: _Long | None = None
    tx: _Long | None = None
    tp: str | None = None
    m: str | None = None
    p: str | None = None
    kind: str | None = None
    times: Annotated[int, msgspec.Meta(ge=1, le=MAX_TIMES)] = 1

    @property
    def is_marker(self) -> bool:
        """Whether it says that a worker has logged everything until `end`, rather than a request."""
        return self.role == _MARKER

    @property
    def asked_for(self) -> str:
        """What the request asked for; "" where the gateway was too old to say."""
        return self.kind or (request_kind(self.m or "", self.p) if self.p else "")


_decoder = msgspec.json.Decoder(LogLine)


def read_lines(data: bytes, *, header: LogFileHeader, offset: int, region: str, is_final: bool = False) -> Lines:
    """Read a piece of a file that starts at `offset`, at the start of a line.

    An incomplete last line is left for the next piece, or is dead if the file is final. Reading ends early at the line
    that completes MAX_ROWS rows, as thinned lines have many. The same bytes give the same lines.
    """
    rows: list[tuple[Any, ...]] = []
    dead: list[DeadLine] = []
    markers: dict[int, int] = {}
    consumed = 0
    for start, line in _split(data, is_final=is_final):
        if len(rows) >= MAX_ROWS:
            break
        consumed = start + len(line)
        try:
            record = _decoder.decode(line)
            if record.is_marker:
                markers[_number(record.worker.removeprefix("/"))] = _number(record.end)
                continue
            first = offset + start
            rows += [
                _row(record, header=header, byte_offset=each, region=region)
                for each in range(first, first + record.times)
            ]
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            dead.append(_dead(line, header=header, byte_offset=offset + start, reason=str(error)))
    return Lines(rows=rows, dead=dead, markers=markers, consumed=consumed)


def count_requests(lines: Iterable[bytes]) -> int:
    """Return how many requests the readable ones of some lines stand for."""
    return sum(record.times for record in map(_readable, lines) if record is not None and not record.is_marker)


def _readable(line: bytes) -> LogLine | None:
    try:
        return _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _dead(line: bytes, *, header: LogFileHeader, byte_offset: int, reason: str) -> DeadLine:
    return DeadLine(
        line=line,
        gateway_id=header.gateway_id,
        file_number=header.file_number,
        byte_offset=byte_offset,
        reason=reason,
    )


def _split(data: bytes, *, is_final: bool) -> Iterator[tuple[int, bytes]]:
    start = 0
    while (newline := data.find(b"\n", start)) >= 0:
        yield start, data[start : newline + 1]
        start = newline + 1
    if is_final and start < len(data):
        yield start, data[start:]


def _row(record: LogLine, *, header: LogFileHeader, byte_offset: int, region: str) -> tuple[Any, ...]:
    values: Mapping[str, Any] = {
        "prediction_id": record.id or "",
        "workspace": record.ws or "",
        "endpoint_id": record.ep or "",
        "endpoint": record.epn or "",
        # If no instance was tried, the selected deployment is the one that failed to answer.
        "deployment_id": record.dep or record.drawn or "",
        "version_id": record.vid or record.dvid or "",
        "version": record.ver or record.dver or "",
        "epoch": _number(record.epoch) if record.epoch else _UNKNOWN_NUMBER,
        "role": record.role,
        "region": region,
        "instance": record.inst or "",
        "status": _status(record),
        "response_flags": _flags(record),
        "attempts": record.att or 0,
        "started_at_ms": _number(record.start),
        "ended_at_ms": _number(record.end),
        "duration_ms": _duration_ms(record),
        "upstream_ms": _UNKNOWN_NUMBER if record.up is None else record.up / _MICROSECONDS,
        "request_bytes": record.rx or 0,
        "response_bytes": record.tx or 0,
        "gateway_id": header.gateway_id,
        "file_number": header.file_number,
        "byte_offset": byte_offset,
        "trace_id": _trace_id(record.tp),
        "drawn_deployment_id": record.drawn or record.dep or "",
        "instance_region": record.ireg or "",
        "kind": record.asked_for,
    }
    return tuple(values[name] for name in REQUEST_COLUMNS)


def _flags(record: LogLine) -> str:
    """Return Envoy's flags, and our own code if a waiting room rejected the request; other codes are ignored."""
    flags = [record.fl] if record.fl not in {None, "-"} else []
    return ",".join(flag for flag in (*flags, record.why if record.why in _OUR_CODES else None) if flag)


def _trace_id(traceparent: str | None) -> str:
    """Return the W3C trace id; a malformed header is ignored."""
    found = _TRACEPARENT.fullmatch(traceparent or "")
    return found[1] if found else ""


def _number(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"{text} is too large for the column")
    return int(text)


def _status(record: LogLine) -> int:
    """Return the status that REST would have had: gRPC reports a failure after an HTTP 200, in its trailers."""
    if record.gs and record.st == HTTPStatus.OK:
        return _HTTP_OF_GRPC.get(record.gs, HTTPStatus.INTERNAL_SERVER_ERROR)
    return record.st or 0


def _duration_ms(record: LogLine) -> float:
    """Prefer microseconds; a request that was cut off only has whole milliseconds."""
    if record.us is not None:
        return record.us / _MICROSECONDS
    return float(_UNKNOWN_NUMBER if record.dur is None else record.dur)
