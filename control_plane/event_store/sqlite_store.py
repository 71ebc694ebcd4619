"""The event store on one SQLite file: puts recorder, database, writer and catalogue together behind the port."""

import asyncio
import queue
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import structlog

from control_plane.catalogue.rebuild import FORMAT, catalogued
from control_plane.catalogue.sqlite_catalogue import SqliteCatalogue
from control_plane.event_store.codec import to_recorded
from control_plane.event_store.errors import StoreBusyError, StoreUnavailableError
from control_plane.event_store.log_rows import select_head, select_log, select_stream
from control_plane.event_store.recorder import PositionRecorder
from control_plane.event_store.sqlite_database import REACTED_UNTIL, SqliteDatabase
from control_plane.event_store.sqlite_file import (
    only_writer,
    open_recorder,
    translate_start_errors,
    translate_store_errors,
)
from control_plane.event_store.sqlite_log import SqliteLog
from control_plane.event_store.unit_of_work import Randomness
from control_plane.event_store.writer import NOTHING, Cause, Command, Job, Limits, Outcome, Writer
from control_plane.keys.key_file import KeyStore
from control_plane.keys.sealing import open_sealed
from control_plane.log.ports import LoggedEvent
from control_plane.ports import (
    Aggregates,
    Catalogue,
    CommandContext,
    Executed,
    Reply,
    UnitOfWork,
)
from infra.background import Background
from infra.clock import Clock
from schemas.envelope import RecordedEvent, Sealed

AfterCommit = Callable[[int], None]
"""Told the log's new head in the event loop's thread, before the callers of the group get their answers."""

_BATCH = 1_000
_log = structlog.get_logger(__name__)


class SqliteStore:
    """Implements the port `EventStore`; made by `open_sqlite_store` and used in one event loop."""

    def __init__(self, recorder: PositionRecorder, *, keys: KeyStore, after_commit: AfterCommit) -> None:
        self.log = SqliteLog(recorder)
        self._recorder = recorder
        self._keys = keys
        self._after_commit = after_commit
        self._loop = asyncio.get_running_loop()
        self._writer: Writer | None = None

    async def execute(self, context: CommandContext, command: Command) -> Executed:
        return await self._execute(context, command)

    async def react(
        self, process: str, position: int, context: CommandContext, reaction: Callable[[UnitOfWork], None]
    ) -> None:
        def command(unit: UnitOfWork) -> Reply:
            reaction(unit)
            return NOTHING

        await self._execute(context, command, cause=Cause(process, position))

    async def _execute(self, context: CommandContext, command: Command, *, cause: Cause | None = None) -> Executed:
        if self._writer is None:
            raise StoreUnavailableError("the event store is closing", remedy="try again in a few seconds")
        ticket: asyncio.Future[Executed] = self._loop.create_future()
        try:
            self._writer.queue.put_nowait(Job(context, command, ticket, cause))
        except queue.Full:
            raise StoreBusyError(waiting=self._writer.queue.qsize()) from None
        return await ticket

    def reacted_until(self, process: str) -> int | None:
        found = self._query(REACTED_UNTIL, (process,))
        return int(found[0][0]) if found else None

    def read_stream(self, stream: str, *, after_version: int = 0) -> list[RecordedEvent]:
        with translate_store_errors(), self._recorder.reading() as cursor:
            return [to_recorded(event) for event in select_stream(cursor, stream, after_version=after_version)]

    def head(self) -> int:
        with translate_store_errors(), self._recorder.reading() as cursor:
            return select_head(cursor)

    def catalogue(self) -> Catalogue:
        return SqliteCatalogue(self._query)

    def open(self, sealed: Sealed, *, event_id: str) -> str | None:
        return open_sealed(sealed, key=self._keys.key(sealed.key_id), event_id=event_id)

    def whole_log(self) -> Iterator[RecordedEvent]:
        """Yield every event in position order, a batch at a time."""
        position = 0
        while batch := self._batch(after=position):
            yield from map(to_recorded, batch)
            position = batch[-1].position

    def start(
        self,
        database: SqliteDatabase,
        *,
        clock: Clock,
        randomness: Randomness,
        limits: Limits,
        background: Background,
    ) -> None:
        """Begin to take commands."""
        self._writer = Writer(
            database,
            keys=self._keys,
            clock=clock,
            randomness=randomness,
            deliver=self._deliver_from_writer,
            limits=limits,
            background=background,
        )
        self._writer.start()

    async def stop(self) -> None:
        """Refuse further commands, finish those that wait, end the thread."""
        writer, self._writer = self._writer, None
        if writer is not None:
            await asyncio.to_thread(writer.stop)

    def _batch(self, *, after: int) -> list[LoggedEvent]:
        with translate_store_errors(), self._recorder.reading() as cursor:
            return select_log(cursor, after=after, limit=_BATCH)

    def _query(self, statement: str, parameters: Sequence[object]) -> list[Any]:
        with translate_store_errors(), self._recorder.reading() as cursor:
            cursor.execute(statement, parameters)
            found: list[Any] = cursor.fetchall()
            return found

    def _deliver_from_writer(self, outcomes: list[tuple[Job, Outcome]], head: int | None) -> None:
        self._loop.call_soon_threadsafe(self._deliver, outcomes, head)

    def _deliver(self, outcomes: list[tuple[Job, Outcome]], head: int | None) -> None:
        if head is not None:
            self._tell_head(head)
        for job, outcome in outcomes:
            if job.ticket.done():
                continue  # The caller went away; what it asked for is done all the same.
            if isinstance(outcome, Executed):
                job.ticket.set_result(outcome)
            else:
                job.ticket.set_exception(outcome)

    def _tell_head(self, head: int) -> None:
        try:
            self._after_commit(head)
        except Exception:  # noqa: BLE001  a foreign callable at the rim of the thread
            # What listens for commits is a convenience; the commands are durable and their callers must hear so.
            _log.exception("after_commit_failed", head=head)


@asynccontextmanager
async def open_sqlite_store(  # noqa: PLR0913  the store's surroundings; all but the path by name
    path: Path,
    *,
    keys: KeyStore,
    aggregates: Aggregates,
    clock: Clock,
    randomness: Randomness,
    after_commit: AfterCommit,
    limits: Limits | None = None,
    background: Background | None = None,
) -> AsyncIterator[SqliteStore]:
    """Open the store, or make an empty one; on leaving, the commands that wait are finished first.

    The catalogue is rebuilt from the log where a restore or another release left it to be.

    Raises:
        CannotStartError: another process writes to the file, or it cannot be opened or written.
    """
    with ExitStack() as resources:
        with translate_start_errors(path):
            resources.enter_context(only_writer(path))
            recorder = resources.enter_context(open_recorder(path))
            connection = resources.enter_context(recorder.datastore.get_connection(commit=True))
            store = SqliteStore(recorder, keys=keys, after_commit=after_commit)
            database = SqliteDatabase(recorder, connection)
            _renew_catalogue(store, database, aggregates)
        store.start(
            database,
            clock=clock,
            randomness=randomness,
            limits=limits or Limits(),
            background=background or Background(),
        )
        try:
            yield store
        finally:
            await store.stop()


def _renew_catalogue(store: SqliteStore, database: SqliteDatabase, aggregates: Aggregates) -> None:
    if database.catalogue_format() == FORMAT:
        return
    streams = catalogued(store.whole_log(), aggregates)
    with database.transaction():
        database.replace_catalogue(streams, catalogue_format=FORMAT)
    if streams:
        _log.info("catalogue_renewed", streams=len(streams))
