"""Ships spools: numbered batches without gaps, whose content a crash cannot change, and a closing batch at the end."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import msgspec
import structlog

from infra.background import Background
from infra.clock import Clock
from infra.removal import remove_folder
from schemas.observations import BatchHeaders, SourceKind
from schemas.topics import OBSERVATIONS, TELEMETRY, Topic
from serving.capture.records import Mark
from serving.capture.spool_reader import SpoolReader
from workers.serving_agent import telemetry_records
from workers.serving_agent.batch_sink import Sink
from workers.serving_agent.observation_batches import Decoded, decode_frames, encode_rows
from workers.serving_agent.spool_cap import keep_within
from workers.serving_agent.spool_sources import SpoolSource, folder_of_engine, frames_of, sources

MAX_FRAMES = 500
MAX_BYTES = 512 * 1024
_PROGRESS = "shipping.json"
_INTERVAL_S = 0.5
_PAUSE_WHEN_BEHIND_S = 0.01
_CAP_EVERY_S = 10.0

_log = structlog.get_logger(__name__)

SourceState: TypeAlias = Literal["open", "closing"]


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """A batch that is about to be sent: the frames from `start` to `end`, and the values of its headers."""

    start: int
    end: int
    rows: int
    closed_until_ms: int
    state: SourceState
    seen: int = 0
    unsampled: int = 0


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """What is on disk: all frames before `position` are acknowledged; `intent` may or may not have arrived."""

    batch: int = 0
    position: int = 0
    closed_until_ms: int = 0
    seen: int = 0
    unsampled: int = 0
    intent: Intent | None = None


class Found(Protocol):
    """The contents of some frames: rows, and the last mark among them."""

    @property
    def rows(self) -> Sequence[Any]: ...
    @property
    def last_mark(self) -> Mark: ...


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """What a spool contains, and how to write it for its topic."""

    topic: Topic
    kind: SourceKind
    decode: Callable[[Sequence[bytes]], Found]
    encode: Callable[..., bytes]
    """Takes the source, its rows and the number of the batch."""


CAPTURED = Stream(topic=OBSERVATIONS, kind="observations", decode=decode_frames, encode=encode_rows)
MEASURED = Stream(
    topic=TELEMETRY, kind="telemetry", decode=telemetry_records.decode_frames, encode=telemetry_records.encode_rows
)


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """Where batches go, as what, and the region and the log that they say they are from."""

    sink: Sink
    stream: Stream
    region: str
    log_id: str


class Totals(msgspec.Struct):
    """What was shipped since the program started, over all sources."""

    batches: int = 0
    rows: int = 0
    lost_frames: int = 0


class SourceShipper:
    """One source: the spool of one boot. Used by one task.

    The intent is on disk before its batch is sent, so that after a crash the same batch is sent with the same rows and
    number; if the spool had to drop them meanwhile, it is sent empty rather than different.
    """

    def __init__(self, directory: Path, source: SpoolSource, *, to: Destination, clock: Clock, totals: Totals) -> None:
        self._directory = directory
        self._source = source
        self._to = to
        self._clock = clock
        self._totals = totals
        self._reader = SpoolReader(frames_of(directory))
        self._progress = _read_progress(directory / _PROGRESS)

    async def ship_next(self, *, is_over: bool) -> SourceState | None:
        """Ship one batch, even an empty one. Return its state, or None if it was full and more may wait.

        `is_over` means that nothing writes to the spool any more; it is closed once it is empty.
        """
        unfinished = self._progress.intent
        if unfinished is not None:
            await self._send(unfinished, self._reread(unfinished))
            if unfinished.state == "closing":
                return "closing"
        frames = self._reader.read(self._progress.position, max_frames=MAX_FRAMES, max_bytes=MAX_BYTES)
        if frames.lost:
            self._totals.lost_frames += frames.lost
            _log.error("spool_frames_lost", source=self._source.boot_id, frames=frames.lost)
        found = self._to.stream.decode(frames.payloads)
        is_end = is_over and not frames.payloads
        before, mark = self._progress, found.last_mark
        intent = Intent(
            start=frames.next_position - len(frames.payloads),
            end=frames.next_position,
            rows=len(found.rows),
            closed_until_ms=max(before.closed_until_ms, mark.closed_until_ms, self._clock.now_ms() if is_end else 0),
            state="closing" if is_end else "open",
            seen=max(before.seen, mark.seen),
            unsampled=max(before.unsampled, mark.unsampled),
        )
        self._save(msgspec.structs.replace(self._progress, intent=intent))
        await self._send(intent, found)
        if intent.state == "closing":
            return "closing"
        return None if is_over or len(frames.payloads) == MAX_FRAMES else "open"

    def _reread(self, intent: Intent) -> Found:
        payloads: list[bytes] = []
        position = intent.start
        while position < intent.end:
            frames = self._reader.read(position, max_frames=intent.end - position, max_bytes=2 * MAX_BYTES)
            if not frames.payloads or frames.lost:
                break
            payloads += frames.payloads
            position = frames.next_position
        found = self._to.stream.decode(payloads)
        return found if len(found.rows) == intent.rows else Decoded(())

    async def _send(self, intent: Intent, found: Found) -> None:
        batch = self._progress.batch
        headers = BatchHeaders(
            source=self._source.boot_id,
            kind=self._to.stream.kind,
            region=self._to.region,
            batch=batch,
            rows=len(found.rows),
            closed_until_ms=intent.closed_until_ms,
            state=intent.state,
            seen=intent.seen,
            unsampled=intent.unsampled,
            log_id=self._to.log_id,
        )
        stream = self._to.stream
        value = stream.encode(self._source, found.rows, batch=batch)
        await self._to.sink.send(stream.topic.name, key=self._source.boot_id, value=value, headers=headers.as_kafka())
        self._totals.batches += 1
        self._totals.rows += len(found.rows)
        self._save(
            Progress(
                batch=batch + 1,
                position=intent.end,
                closed_until_ms=intent.closed_until_ms,
                seen=intent.seen,
                unsampled=intent.unsampled,
            )
        )
        self._reader.delete_before(intent.end)

    def _save(self, progress: Progress) -> None:
        # Not synced to disk: it has to survive a crash of the agent, not of the machine.
        path = self._directory / _PROGRESS
        part = path.with_suffix(".part")
        part.write_bytes(msgspec.json.encode(progress))
        part.replace(path)
        self._progress = progress


class SpoolShipping:
    """Ships every spool below a directory, each source in its own task."""

    def __init__(
        self,
        spools: Path,
        *,
        to: Destination,
        clock: Clock,
        boots: Callable[[], set[str]],
        background: Background,
        max_bytes: int | None = None,
    ) -> None:
        spools.mkdir(parents=True, exist_ok=True)
        self._max_bytes = max_bytes
        self._capped_at = clock.monotonic()
        self._removing = asyncio.Lock()
        self._background = background
        self._spools = spools
        self._to = to
        self._clock = clock
        self._boots = boots
        self._tasks: dict[Path, asyncio.Task[None]] = {}
        self.totals = Totals()

    async def run(self) -> None:
        """Ship forever. A source that fails restarts from what is on disk, and does not delay others."""
        try:
            while True:
                for directory, source in sources(self._spools).items():
                    if directory not in self._tasks:
                        ship = partial(self._ship, directory, source)
                        self._tasks[directory] = self._background.task("agent-ships-source", ship)
                try:
                    await self._keep_within_cap()
                except Exception:  # noqa: BLE001  a spool that cannot be read must not keep the others from being shipped
                    _log.exception("spools_not_capped")
                await asyncio.sleep(_INTERVAL_S)
        finally:
            tasks, self._tasks = list(self._tasks.values()), {}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep_within_cap(self) -> None:
        now = self._clock.monotonic()
        if self._max_bytes is None or now - self._capped_at < _CAP_EVERY_S:
            return
        self._capped_at, running = now, self._boots()
        async with self._removing:
            await asyncio.to_thread(
                keep_within,
                self._spools,
                max_bytes=self._max_bytes,
                is_over=lambda source: source.boot_id not in running,
            )

    async def drained(self) -> None:
        """Return once every source that is over has been shipped and closed."""
        # What it waits for is on disk, so nothing could wake it.
        while any(source.boot_id not in self._boots() for source in sources(self._spools).values()):  # noqa: ASYNC110
            await asyncio.sleep(_PAUSE_WHEN_BEHIND_S)

    async def _ship(self, directory: Path, source: SpoolSource) -> None:
        shipper = SourceShipper(directory, source, to=self._to, clock=self._clock, totals=self.totals)
        while True:
            try:
                state = await shipper.ship_next(is_over=source.boot_id not in self._boots())
            except OSError as error:
                # The disk is full: nothing was sent that is not on record, so the same is retried.
                _log.error("shipping_waits", source=source.boot_id, reason=str(error))
                state = "open"
            if state == "closing":
                break
            await asyncio.sleep(_PAUSE_WHEN_BEHIND_S if state is None else _INTERVAL_S)
        async with self._removing:
            for folder in (folder_of_engine(directory), directory):
                await asyncio.to_thread(remove_folder, folder)
        self._tasks.pop(directory, None)
        _log.info("spool_shipped", source=source.boot_id)


def _read_progress(path: Path) -> Progress:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Progress)
    except FileNotFoundError:
        return Progress()
