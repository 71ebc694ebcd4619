"""Ships what the log reader finds, in numbered batches, and always knows what a crash would leave open."""

from pathlib import Path
from typing import Literal, Protocol, TypeAlias

import msgspec
import structlog

from schemas.observations import BatchHeaders
from schemas.topics import REQUESTS, dead_letters_of
from serving.gateway.log_reader import LogReader, Piece, Place, empty_piece
from serving.gateway.request_batches import encode_rows
from serving.gateway.request_log import DeadLine, Lines

MAX_PIECE_BYTES = 512 * 1024
DEAD_LETTERS = dead_letters_of(REQUESTS).name

_log = structlog.get_logger(__name__)

Headers: TypeAlias = list[tuple[str, bytes]]
SourceState: TypeAlias = Literal["open", "closing"]


class Sink(Protocol):
    """Where batches go. `send` returns once the message is safe; sending twice is allowed, losing is not."""

    async def send(self, topic: str, *, key: str, value: bytes, headers: Headers) -> None: ...


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """A batch that is about to be sent: enough to resend exactly the same."""

    start: Place
    end: Place
    after: Place
    closed_until_ms: int
    state: SourceState


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """What is on disk. Everything before `place` is acknowledged; `intent` may or may not have arrived."""

    source: str
    batch: int
    place: Place
    closed_until_ms: int
    is_closed: bool = False
    intent: Intent | None = None


def read_progress(path: Path) -> Progress | None:
    """Return an earlier shipper's progress; None if there is none or it is unreadable, and everything is resent."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Progress)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        _log.error("shipper_position_unreadable", path=str(path), error=str(error))
        return None


class RequestShipper:
    """One source: the batches of one boot. Use it from one task at a time."""

    def __init__(
        self, sink: Sink, *, reader: LogReader, path: Path, region: str, log_id: str, progress: Progress
    ) -> None:
        self._sink = sink
        self._reader = reader
        self._path = path
        self._region = region
        self._log_id = log_id
        self._progress = progress
        self._markers: dict[int, int] = {}
        self._gateway_id = ""
        self.records = 0
        self.unreadable = 0

    @property
    def progress(self) -> Progress:
        return self._progress

    @property
    def file_in_use(self) -> int:
        """The number of the last file that was read, or will be read again after a crash."""
        intent, place = self._progress.intent, self._progress.place
        places = (place,) if intent is None else (place, intent.start, intent.end, intent.after)
        return max(each.file_number for each in places)

    async def ship_next(self, *, state: SourceState = "open") -> Lines:
        """Ship the next piece, even an empty one, and return what was in it.

        A file is deleted once the batch that read its end is acknowledged.
        """
        if self._progress.intent:
            await self._send(self._progress.intent, self._reread(self._progress.intent))
        place = self._progress.place
        piece = self._reader.next_piece(place, max_bytes=MAX_PIECE_BYTES) or empty_piece(place)
        intent = Intent(
            start=piece.start,
            end=piece.end,
            after=piece.after,
            closed_until_ms=self._closed_until(piece),
            state=state,
        )
        self._save(msgspec.structs.replace(self._progress, intent=intent))
        await self._send(intent, piece)
        return piece.lines

    async def close_unread(self) -> Progress:
        """Finish the source of a shipper that died: what it was about to send, then its end."""
        if self._progress.intent:
            await self._send(self._progress.intent, self._reread(self._progress.intent))
        if not self._progress.is_closed:
            place = self._progress.place
            closed = self._progress.closed_until_ms
            end = Intent(start=place, end=place, after=place, closed_until_ms=closed, state="closing")
            self._save(msgspec.structs.replace(self._progress, intent=end))
            await self._send(end, empty_piece(place))
        return self._progress

    def _reread(self, intent: Intent) -> Piece:
        return empty_piece(intent.start) if intent.start == intent.end else self._reader.read(intent.start, intent.end)

    def _closed_until(self, piece: Piece) -> int:
        """Every worker has logged everything that it ended before its last marker; the time never decreases."""
        if piece.header is None:
            return self._progress.closed_until_ms
        if piece.header.gateway_id != self._gateway_id:
            self._gateway_id, self._markers = piece.header.gateway_id, {}
        self._markers |= piece.lines.markers
        if len(self._markers) < piece.header.workers:
            return self._progress.closed_until_ms
        return max(self._progress.closed_until_ms, min(self._markers.values()))

    async def _send(self, intent: Intent, piece: Piece) -> None:
        for dead in piece.lines.dead:
            await self._send_dead_letter(dead)
        rows = piece.lines.rows
        headers = BatchHeaders(
            source=self._progress.source,
            kind="requests",
            region=self._region,
            batch=self._progress.batch,
            rows=len(rows),
            closed_until_ms=intent.closed_until_ms,
            state=intent.state,
            log_id=self._log_id,
        )
        await self._sink.send(
            REQUESTS.name, key=self._progress.source, value=encode_rows(rows), headers=headers.as_kafka()
        )
        self.records += len(rows)
        self._save(
            Progress(
                source=self._progress.source,
                batch=self._progress.batch + 1,
                place=intent.after,
                closed_until_ms=intent.closed_until_ms,
                is_closed=intent.state == "closing",
            )
        )
        self._reader.delete_before(intent.after.file_number)

    async def _send_dead_letter(self, dead: DeadLine) -> None:
        self.unreadable += 1
        _log.error("request_record_unreadable", file_number=dead.file_number, byte_offset=dead.byte_offset)
        where = {
            "reason": dead.reason,
            "gateway_id": dead.gateway_id,
            "file_number": str(dead.file_number),
            "byte_offset": str(dead.byte_offset),
        }
        headers = [(name, text.encode()) for name, text in where.items()]
        await self._sink.send(DEAD_LETTERS, key=self._progress.source, value=dead.line, headers=headers)

    def _save(self, progress: Progress) -> None:
        # Not synced to disk: after a power cut, an older position only causes rows to be resent under the same
        # identity.
        part = self._path.with_name(f".{self._path.name}.part")
        part.write_bytes(msgspec.json.encode(progress))
        part.replace(self._path)
        self._progress = progress
