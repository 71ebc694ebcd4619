"""Reads the log of the store that this process writes."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from eventsourcing.domain import EventSourcingError
from eventsourcing.sqlite import SQLiteCursor

from control_plane.event_store.log_pages import read_page
from control_plane.event_store.log_rows import select_head, select_log, select_types
from control_plane.event_store.recorder import PositionRecorder
from control_plane.event_store.sqlite_file import translate_store_errors
from control_plane.log.errors import LogUnreadableError
from control_plane.log.ports import LoggedEvent, LogPage, LogSelection

Found = TypeVar("Found")


class SqliteLog:
    """Implements `SearchableLog` on the recorder's pool; each read has a thread, so none holds up the event loop."""

    def __init__(self, recorder: PositionRecorder) -> None:
        self._recorder = recorder

    async def read(self, *, after: int, limit: int) -> list[LoggedEvent]:
        return await self._found(lambda cursor: select_log(cursor, after=after, limit=limit))

    async def head(self) -> int:
        return await self._found(select_head)

    async def read_types(self, types: Sequence[str], *, after: int, limit: int) -> list[LoggedEvent]:
        return await self._found(lambda cursor: select_types(cursor, types, after=after, limit=limit))

    async def page(self, wanted: LogSelection, *, after: int, limit: int) -> LogPage:
        return await self._found(lambda cursor: read_page(cursor, wanted, after=after, limit=limit))

    async def _found(self, read: Callable[[SQLiteCursor], Found]) -> Found:
        return await asyncio.to_thread(self._read, read)

    def _read(self, read: Callable[[SQLiteCursor], Found]) -> Found:
        with _translate_read_errors(), self._recorder.reading() as cursor:
            return read(cursor)


@contextmanager
def _translate_read_errors() -> Iterator[None]:
    try:
        with translate_store_errors():
            yield
    except (sqlite3.Error, EventSourcingError) as error:
        raise LogUnreadableError(f"the event store cannot be read ({error!r})") from error
