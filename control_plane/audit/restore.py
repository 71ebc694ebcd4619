"""Rebuilds the store's file from the topic alone, positions and their gaps as they were.

The catalogue is rebuilt when the store is next opened; kept answers and subject keys are not part of the log and
come from nowhere: keys are kept by themselves, and a repeated command of the last day counts as new.
"""

from pathlib import Path

from eventsourcing.persistence import Notification

from control_plane.audit.errors import LogBrokenError, LogUnreadableError
from control_plane.audit.history import Evidence, HistoryChecker
from control_plane.audit.topic_log import TopicLog, open_topic_log
from control_plane.audit.verifier import verify_store
from control_plane.event_store.log_file import LoggedEvent
from control_plane.event_store.recorder import PositionRecorder
from control_plane.event_store.sqlite_file import only_writer, open_recorder, translate_start_errors
from infra.kafka.connection import KafkaConnection


async def restore_store(path: Path, connection: KafkaConnection) -> Evidence:
    """Write a store where there is none, check every event on the way, and compare the roots in the end.

    The file gets its name only when it is complete, so a restore that was cut short can simply be run again.

    Raises:
        LogUnreadableError: a store is there already, or Kafka does not answer.
        LogBrokenError: the topic is not a log that a store could have written.
    """
    with translate_start_errors(path):
        unfinished = _prepare(path)
        with only_writer(path):
            async with open_topic_log(connection) as topic:
                published = await _copy(topic, unfinished)
            stored = verify_store(unfinished)
            if stored != published:
                raise LogBrokenError("what was written differs from the topic; do not trust this disk")
            _remove_companions(unfinished)
            unfinished.rename(path)
    return stored


def _prepare(path: Path) -> Path:
    if path.exists():
        raise LogUnreadableError(f"{path} already exists; move it away to restore it from the topic")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.restoring")
    unfinished.unlink(missing_ok=True)
    _remove_companions(unfinished)
    return unfinished


async def _copy(topic: TopicLog, path: Path) -> Evidence:
    checker = HistoryChecker("topic")
    with open_recorder(path) as recorder:
        async for batch in topic.batches():
            for event in batch:
                checker.take(event)
            _insert(recorder, batch)
    return checker.evidence()


def _insert(recorder: PositionRecorder, batch: list[LoggedEvent]) -> None:
    with recorder.datastore.transaction(commit=True) as cursor:
        recorder.insert_at(cursor, [_notification(event) for event in batch])


def _notification(event: LoggedEvent) -> Notification:
    return Notification(
        id=event.position,
        originator_id=event.stream,
        originator_version=event.version,
        topic=event.type_name,
        state=event.canonical,
    )


def _remove_companions(path: Path) -> None:
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
