"""Recomputes the log's root from the store's file and from the topic, and says whether they are one and the same."""

import asyncio
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from control_plane.audit.checkpoint import Checkpoint
from control_plane.audit.errors import LogBrokenError, LogUnreadableError
from control_plane.audit.history import Evidence, HistoryChecker, check_history, difference
from control_plane.audit.topic_log import TopicLog, open_topic_log
from control_plane.event_store.log_file import LogFile, LoggedEvent, open_log_file
from infra.kafka.connection import KafkaConnection

_BATCH = 2_000
_PATIENCE_SECONDS = 10.0
_POLL_SECONDS = 0.1


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The same log, twice: what the store and the topic come to, at least up to the store's head at the beginning."""

    store: Evidence
    topic: Evidence


def verify_store(path: Path, *, checkpoints: Sequence[Checkpoint] = ()) -> Evidence:
    """Check the store's file, offline or beside a running stack.

    Raises:
        LogBrokenError: where and how the log departs from what it must be.
        LogUnreadableError: there is no store.
    """
    with _opened(path) as log:
        return check_history("store", events_of(log), checkpoints=checkpoints)


async def verify_store_against_topic(
    path: Path,
    connection: KafkaConnection,
    *,
    checkpoints: Sequence[Checkpoint] = (),
    patience_seconds: float = _PATIENCE_SECONDS,
) -> Comparison:
    """Check both copies of the log and compare them event by event.

    A relay that is at work gets `patience_seconds` to publish what is committed already.

    Raises:
        LogBrokenError: where a log departs from what it must be, or the first place where the two differ.
        LogUnreadableError: there is no store, or Kafka does not answer.
    """
    with _opened(path) as log:
        head = log.head()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience_seconds
        while True:
            async with open_topic_log(connection) as topic:
                comparison = await _compare(log, head, topic, checkpoints, is_last=loop.time() >= deadline)
            if comparison is not None:
                return comparison
            await asyncio.sleep(_POLL_SECONDS)


async def _compare(
    log: LogFile, head: int, topic: TopicLog, checkpoints: Sequence[Checkpoint], *, is_last: bool
) -> Comparison | None:
    """Return None when the topic only lacks the end of the log and may yet get it."""
    in_store = HistoryChecker("store", checkpoints=checkpoints)
    in_topic = HistoryChecker("topic", checkpoints=checkpoints)
    stored = events_of(log)
    async for batch in topic.batches():
        for published in batch:
            _take_both(in_store, in_topic, next(stored, None), published)
    missing = next(stored, None)
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


def events_of(log: LogFile) -> Iterator[LoggedEvent]:
    """Yield the log in position order, a batch at a time, with what is committed meanwhile."""
    position = 0
    while batch := log.read(after=position, limit=_BATCH):
        yield from batch
        position = batch[-1].position


@contextmanager
def _opened(path: Path) -> Iterator[LogFile]:
    try:
        with open_log_file(path) as log:
            yield log
    except sqlite3.Error as error:
        raise LogUnreadableError(f"{path} cannot be read as an event store ({error})") from error
