"""The stores that the contract suite runs over; a second one joins by adding its opener here."""

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from control_plane.event_store.sqlite_store import open_sqlite_store
from control_plane.event_store.writer import Limits
from control_plane.keys.key_file import open_key_file
from control_plane.ports import EventStore
from tests.support.fakes import FakeClock
from tests.support.store import AGGREGATES

Heads = list[int]
OpenStore = Callable[[Path, FakeClock, Heads], AbstractAsyncContextManager[EventStore]]


@asynccontextmanager
async def open_sqlite(
    folder: Path,
    clock: FakeClock,
    heads: Heads,
    limits: Limits | None = None,
    after_commit: Callable[[int], None] | None = None,
) -> AsyncIterator[EventStore]:
    numbers = itertools.count(1 + len(list(folder.iterdir())) * 1_000_000)
    with open_key_file(folder / "keys.sqlite") as keys:
        async with open_sqlite_store(
            folder / "registry.sqlite",
            keys=keys,
            aggregates=AGGREGATES,
            clock=clock,
            randomness=lambda: next(numbers),
            after_commit=after_commit or heads.append,
            limits=limits,
        ) as store:
            yield store


OPENERS: dict[str, OpenStore] = {"sqlite": open_sqlite}
