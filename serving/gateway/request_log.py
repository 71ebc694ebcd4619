"""Parses Envoy's log lines: request records, and markers that prove completeness. Pure."""

import re
from collections.abc import Iterator, Mapping
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


class _Line(msgspec.Struct, frozen=True, kw_only=True):
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


_decoder = msgspec.json.Decoder(_Line)


def read_lines(data: bytes, *, header: LogFileHeader, offset: int, region: str, is_final: bool = False) -> Lines:
    """Read a piece of a file that starts at `offset`, at the start of a line.

    An incomplete last line is left for the next piece, or is dead if the file is final. The same bytes give the same
    lines.
    """
    rows: list[tuple[Any, ...]] = []
    dead: list[DeadLine] = []
    markers: dict[int, int] = {}
    consumed = 0
    for start, line in _split(data, is_final=is_final):
        consumed = start + len(line)
        try:
            record = _decoder.decode(line)
            if record.role == _MARKER:
                markers[_number(record.worker.removeprefix("/"))] = _number(record.end)
                continue
            rows.append(_row(record, header=header, byte_offset=offset + start, region=region))
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            dead.append(_dead(line, header=header, byte_offset=offset + start, reason=str(error)))
    return Lines(rows=rows, dead=dead, markers=markers, consumed=consumed)


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


def _row(record: _Line, *, header: LogFileHeader, byte_offset: int, region: str) -> tuple[Any, ...]:
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
        "kind": request_kind(record.m or "", record.p) if record.p else "",
    }
    return tuple(values[name] for name in REQUEST_COLUMNS)


def _flags(record: _Line) -> str:
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


def _status(record: _Line) -> int:
    """Return the status that REST would have had: gRPC reports a failure after an HTTP 200, in its trailers."""
    if record.gs and record.st == HTTPStatus.OK:
        return _HTTP_OF_GRPC.get(record.gs, HTTPStatus.INTERNAL_SERVER_ERROR)
    return record.st or 0


def _duration_ms(record: _Line) -> float:
    """Prefer microseconds; a request that was cut off only has whole milliseconds."""
    if record.us is not None:
        return record.us / _MICROSECONDS
    return float(_UNKNOWN_NUMBER if record.dur is None else record.dur)
