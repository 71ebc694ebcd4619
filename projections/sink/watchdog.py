"""Ends a worker that sits beside waiting messages without moving: Faust's consumer is known to fall silent."""

import asyncio
from collections.abc import Mapping

import structlog

from infra.clock import Clock
from projections.sink.stream_worker import Deliveries, StreamWorker

_log = structlog.get_logger(__name__)


class StalledError(Exception):
    """Messages wait, the sink is idle, and nothing has moved for too long."""


class Stall:
    """Notices a topic that has a backlog but neither settles messages nor is busy writing them."""

    def __init__(self, *, patience_s: float) -> None:
        self._patience_s = patience_s
        self._seen: dict[str, tuple[int, float]] = {}

    def stalled(self, topic: str, *, settled: int, has_backlog: bool, is_writing: bool, now_s: float) -> bool:
        """Take one look; True when the topic has not moved for the whole of our patience."""
        before, since_s = self._seen.get(topic, (settled, now_s))
        if settled != before or not has_backlog or is_writing:
            self._seen[topic] = (settled, now_s)
            return False
        self._seen[topic] = (before, since_s)
        return now_s - since_s > self._patience_s


async def watch(worker: StreamWorker, *, clock: Clock, patience_s: float) -> None:
    """Set the worker's fatal error when it crashed inside Faust or stalls; runs until cancelled."""
    stall = Stall(patience_s=patience_s)
    while not worker.fatal.done():
        await asyncio.sleep(min(1.0, patience_s / 4))
        if worker.app.crashed:
            worker.fatal.set_exception(worker.app.crash_reason or StalledError("Faust crashed"))
            return
        try:
            backlog = await _backlog(worker)
        except Exception as error:  # noqa: BLE001  whatever the client meets in a rebalance, the watch goes on
            _log.warning("backlog_unknown", error=repr(error))
            continue
        for topic, deliveries in worker.deliveries.items():
            if _looks_stalled(stall, topic, deliveries, backlog, now_s=clock.monotonic()):
                _log.error("sink_stalled", topic=topic, backlog=backlog[topic], patience_s=patience_s)
                worker.fatal.set_exception(StalledError(f"{topic}: {backlog[topic]} messages wait and nothing moves"))
                return


def _looks_stalled(
    stall: Stall, topic: str, deliveries: Deliveries, backlog: Mapping[str, int], *, now_s: float
) -> bool:
    return stall.stalled(
        topic,
        settled=deliveries.settled_messages,
        has_backlog=backlog.get(topic, 0) > 0,
        is_writing=deliveries.is_writing,
        now_s=now_s,
    )


async def _backlog(worker: StreamWorker) -> dict[str, int]:
    consumer = worker.app.consumer
    waiting: dict[str, int] = {}
    for tp in (one for one in consumer.assignment() if one.topic in worker.deliveries):
        end = consumer.highwater(tp)
        read = worker.deliveries[tp.topic].next_offsets.get(tp.partition)
        if read is None:
            read = await consumer.position(tp)
        if end is not None and read is not None:
            waiting[tp.topic] = waiting.get(tp.topic, 0) + max(0, end - read)
    return waiting
