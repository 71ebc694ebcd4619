"""Recomputes the log's root from the store and from the topic, and says whether they are one and the same."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias

import msgspec

from control_plane.audit.checkpoint import Checkpoint
from control_plane.audit.history import Evidence, HistoryChecker, difference
from control_plane.log.errors import LogBrokenError
from control_plane.log.ports import LoggedEvent, LogReader
from control_plane.log.reading import batches_of, events_of

_PATIENCE_SECONDS = 10.0
_POLL_SECONDS = 0.1

OpenLog: TypeAlias = Callable[[], AbstractAsyncContextManager[LogReader]]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The same log, twice: what the store and the topic come to, at least up to the store's head at the beginning."""

    store: Evidence
    topic: Evidence


async def verify_store(log: LogReader, *, checkpoints: Sequence[Checkpoint] = ()) -> Evidence:
    """Check the store's log, offline or beside a running stack.

    Raises:
        LogBrokenError: where and how the log departs from what it must be.
        LogUnreadableError: the store cannot be read.
    """
    checker = HistoryChecker("store", checkpoints=checkpoints)
    async for batch in batches_of(log):
        for event in batch:
            checker.take(event)
    return checker.evidence()


async def verify_store_against_topic(
    log: LogReader,
    open_topic: OpenLog,
    *,
    checkpoints: Sequence[Checkpoint] = (),
    patience_seconds: float = _PATIENCE_SECONDS,
) -> Comparison:
    """Check both copies of the log and compare them event by event.

    A relay that is at work gets `patience_seconds` to publish what is committed already.

    Raises:
        LogBrokenError: where a log departs from what it must be, or the first place where the two differ.
        LogUnreadableError: the store cannot be read, or Kafka does not answer.
    """
    head = await log.head()
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience_seconds
    while True:
        async with open_topic() as topic:
            comparison = await _compare(log, head, topic, checkpoints, is_last=loop.time() >= deadline)
        if comparison is not None:
            return comparison
        await asyncio.sleep(_POLL_SECONDS)


async def _compare(
    log: LogReader, head: int, topic: LogReader, checkpoints: Sequence[Checkpoint], *, is_last: bool
) -> Comparison | None:
    """Return None when the topic only lacks the end of the log and may yet get it."""
    in_store = HistoryChecker("store", checkpoints=checkpoints)
    in_topic = HistoryChecker("topic", checkpoints=checkpoints)
    stored = events_of(log)
    async for published in events_of(topic):
        _take_both(in_store, in_topic, await anext(stored, None), published)
    missing = await anext(stored, None)
    if missing is None or missing.position > head:
        return Comparison(store=in_store.evidence(), topic=in_topic.evidence())
    if is_last:
        raise LogBrokenError(str(difference(missing, None)))
    return None


def _take_both(
    in_store: HistoryChecker, in_topic: HistoryChecker, stored: LoggedEvent | None, published: LoggedEvent
) -> None:
    # Each by itself first: a broken history is a clearer message than two copies that differ.
    if stored is not None:
        in_store.take(stored)
    in_topic.take(published)
    if (sentence := difference(stored, published)) is not None:
        raise LogBrokenError(sentence)
