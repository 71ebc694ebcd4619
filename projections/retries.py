"""Trying again in place: with back-off and jitter, for as long as the trouble may pass."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
import structlog

Result = TypeVar("Result")

_log = structlog.get_logger(__name__)


class Backoff(msgspec.Struct, frozen=True, kw_only=True):
    """How long to wait between tries: doubling from `first_s` to `max_s`, of which a random half is jitter."""

    first_s: float = 0.1
    max_s: float = 5.0

    def delay(self, attempt: int, chance: float) -> float:
        """Return the wait before try `attempt` + 1 (attempts count from 0; `chance` is in 0–1)."""
        whole = min(self.max_s, self.first_s * 2.0 ** min(attempt, 16))
        return whole * (0.5 + chance / 2)


async def retry_until_done(
    action: Callable[[], Awaitable[Result]],
    *,
    what: str,
    passing: type[Exception] | tuple[type[Exception], ...],
    backoff: Backoff,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Result:
    """Return the action's result, trying again on errors that may pass; any other error goes to the caller."""
    attempt = 0
    while True:
        try:
            return await action()
        except passing as error:
            delay = backoff.delay(attempt, random.random())  # noqa: S311  jitter is not a secret
            _log.warning("retrying", what=what, attempt=attempt, delay_s=round(delay, 3), error=str(error))
            attempt += 1
            await sleep(delay)
