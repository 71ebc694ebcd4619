"""Notices the end of another process through a pidfd: no polling, and no confusion when its id is reused."""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def watch_process(pid: int, on_end: Callable[[], None]) -> Iterator[None]:
    """Call `on_end` in the running loop once the process has ended, or immediately if it already has."""
    loop = asyncio.get_running_loop()
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        loop.call_soon(on_end)
        yield
        return

    def ended() -> None:
        loop.remove_reader(descriptor)
        on_end()

    loop.add_reader(descriptor, ended)
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
