"""Rebuilds a store from the topic alone, positions and their gaps as they were.

The catalogue is rebuilt when the store is next opened; kept answers and subject keys are not part of the log and
come from nowhere: keys are kept by themselves, and a repeated command of the last day counts as new.
"""

from control_plane.audit.history import Evidence, HistoryChecker
from control_plane.audit.ports import UnfinishedStore
from control_plane.audit.verifier import verify_store
from control_plane.log.errors import LogBrokenError
from control_plane.log.ports import LogReader
from control_plane.log.reading import batches_of


async def restore_store(published: LogReader, unfinished: UnfinishedStore) -> Evidence:
    """Write what was published, check every event on the way, and compare the roots in the end.

    Raises:
        LogUnreadableError: Kafka does not answer.
        LogBrokenError: the topic is not a log that a store could have written.
    """
    checker = HistoryChecker("topic")
    async for batch in batches_of(published):
        for event in batch:
            checker.take(event)
        unfinished.append(batch)
    with unfinished.written() as log:
        stored = await verify_store(log)
    if stored != checker.evidence():
        raise LogBrokenError("what was written differs from the topic; do not trust this disk")
    return stored
