"""One relay at a time: the one that holds a lock on a file beside the store, which the kernel frees when it dies."""

import asyncio
import fcntl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

_POLL_SECONDS = 0.2
_log = structlog.get_logger(__name__)


@asynccontextmanager
async def sole_relay(lock_file: Path, *, stopping: asyncio.Event) -> AsyncIterator[bool]:
    """Wait until no other relay is active; False when the program is to stop before that."""
    with lock_file.open("a") as file:
        has_logged = False
        while not stopping.is_set():
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not has_logged:
                    _log.warning("another_relay_is_active", lock_file=str(lock_file))
                    has_logged = True
                await asyncio.sleep(_POLL_SECONDS)
            else:
                yield True
                return
        yield False
