"""Makes a request log smaller without losing a count: lines of like requests become one that stands for all of them.

What is kept of a request is what metrics, gates and roll-ups count: who was asked, who answered, the status and the
flags, the time to a span, and the duration to some significant bits. Its prediction id, its trace and its exact time
are lost, and its sizes become the mean of its group. Pure.
"""

from collections.abc import Iterable, Iterator

import msgspec

from serving.gateway.request_log import MAX_TIMES, LogLine

_MICROSECONDS = 1_000


class Coarseness(msgspec.Struct, frozen=True, kw_only=True):
    """How alike requests have to be to share a line."""

    span_ms: int
    bits: int


STEPS = (Coarseness(span_ms=60_000, bits=8), Coarseness(span_ms=3_600_000, bits=6))
"""The first step keeps all that roll-ups keep; the second one is for a log that is too large even so."""

_decoder = msgspec.json.Decoder(LogLine)
_encoder = msgspec.json.Encoder()


class _Group:
    """Requests that share a line; `like` has what they have in common."""

    def __init__(self, like: LogLine) -> None:
        self._like = like
        self._times = 0
        self._end_ms = 0
        self._received = 0
        self._sent = 0
        self._upstream_us: int | None = None

    def add(self, line: LogLine) -> None:
        self._times += line.times
        self._end_ms = max(self._end_ms, int(line.end))
        self._received += (line.rx or 0) * line.times
        self._sent += (line.tx or 0) * line.times
        if line.up is not None:
            self._upstream_us = (self._upstream_us or 0) + line.up * line.times

    def lines(self) -> Iterator[bytes]:
        """Write the group with the end of its last request: none is stamped before what was closed already."""
        duration_ms = (self._like.us or 0) // _MICROSECONDS
        line = msgspec.structs.replace(
            self._like,
            start=str(self._end_ms - duration_ms),
            end=str(self._end_ms),
            rx=self._received // self._times,
            tx=self._sent // self._times,
            up=None if self._upstream_us is None else self._upstream_us // self._times,
        )
        for begun in range(0, self._times, MAX_TIMES):
            times = min(MAX_TIMES, self._times - begun)
            yield _encoder.encode(msgspec.structs.replace(line, times=times)).ljust(times) + b"\n"


def thinned(lines: Iterable[bytes], coarseness: Coarseness) -> Iterator[bytes]:
    """Return the lines of a file, without its header, as fewer ones.

    A line that is no record stays as it is. Markers come last: what they prove complete is before them.
    """
    groups: dict[LogLine, _Group] = {}
    markers: dict[str, tuple[int, bytes]] = {}
    for line in lines:
        try:
            record = _decoder.decode(line)
            end_ms = int(record.end)
            if not record.is_marker:
                like = _like(record, coarseness)
                groups.setdefault(like, _Group(like)).add(record)
            elif end_ms >= markers.get(record.worker, (0, b""))[0]:
                markers[record.worker] = (end_ms, line)
        except (msgspec.DecodeError, ValueError, RecursionError):
            yield line.removesuffix(b"\n") + b"\n"
    for group in groups.values():
        yield from group.lines()
    for _, line in markers.values():
        yield line.removesuffix(b"\n") + b"\n"


def _like(record: LogLine, coarseness: Coarseness) -> LogLine:
    """Return what a record has in common with the others of its group."""
    duration_us = record.us if record.us is not None or record.dur is None else record.dur * _MICROSECONDS
    return msgspec.structs.replace(
        record,
        id=None,
        tp=None,
        start="",
        end=str(int(record.end) // coarseness.span_ms),
        us=None if duration_us is None else _leading(duration_us, coarseness.bits),
        dur=None,
        up=None,
        rx=None,
        tx=None,
        m=None,
        p=None,
        kind=record.asked_for or None,
        times=1,
    )


def _leading(number: int, bits: int) -> int:
    """Return a number's most significant bits, towards zero."""
    dropped = max(0, number.bit_length() - bits)
    return number >> dropped << dropped
