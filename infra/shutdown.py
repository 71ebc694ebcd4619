"""The life of a program: run, stop on a signal, drain, end with an honest exit code."""

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import structlog

from infra.errors import EXIT_CANNOT_START, CannotStartError
from infra.logs import configure_logs
from infra.open_files import raise_open_files_limit

Main = Callable[[asyncio.Event], Awaitable[None]]
"""The body of a program: it serves until the event is set, drains and returns."""

_log = structlog.get_logger(__name__)


def run_program(program: str, main: Main, *, drain_seconds: float = 10.0) -> int:
    """Configure logs, run ``main`` until it ends or a signal comes, return the exit code.

    0: ended as asked; 78: cannot start until a person changes something, the
    reason is logged as ``cannot_start``; 1: anything else.
    """
    configure_logs(program)
    raise_open_files_limit()
    # Modules live as long as the program. To look through them for garbage takes a tenth of a second each time.
    gc.freeze()
    return asyncio.run(run_until_stopped(main, drain_seconds=drain_seconds))


async def run_until_stopped(main: Main, *, drain_seconds: float = 10.0) -> int:
    """Give ``main`` an event that SIGTERM and SIGINT set, and wait for it to drain.

    A drain that takes longer than ``drain_seconds``, or a second signal, cancels
    ``main``; that counts as a failure, because work may be unfinished.
    """
    stopping, hurry = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        (hurry if stopping.is_set() else stopping).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    try:
        return await _supervise(main, stopping=stopping, hurry=hurry, drain_seconds=drain_seconds)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def ended_or_set(task: asyncio.Future[Any], event: asyncio.Event) -> None:
    """Wait until a task has ended or an event is set; the task goes on, and its failure is the caller's to meet."""
    asked = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({task, asked}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        asked.cancel()


async def _supervise(main: Main, *, stopping: asyncio.Event, hurry: asyncio.Event, drain_seconds: float) -> int:
    body = asyncio.ensure_future(main(stopping))
    asked, hurried = asyncio.ensure_future(stopping.wait()), asyncio.ensure_future(hurry.wait())
    try:
        await asyncio.wait({body, asked}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({body, hurried}, timeout=drain_seconds, return_when=asyncio.FIRST_COMPLETED)
        if body.done():
            return _exit_code(body)
        _log.error("drain_cut_short", drain_seconds=drain_seconds)
        return 1
    finally:
        for task in (body, asked, hurried):
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task


def _exit_code(body: asyncio.Future[None]) -> int:
    error = body.exception()
    match error:
        case None:
            return 0
        case CannotStartError():
            _log.error("cannot_start", reason=str(error))
            return EXIT_CANNOT_START
        case _:
            _log.error("program_failed", exc_info=error)
            return 1
