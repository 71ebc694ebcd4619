import asyncio
from types import SimpleNamespace
from typing import cast

import faust
import pytest
from faust.types import TP

from projections.sink.stream_worker import Deliveries, StreamWorker
from projections.sink.watchdog import StalledError, watch
from tests.support.fakes import FakeClock
from tests.support.virtual_time import in_virtual_time

TOPIC = "topic"
PATIENCE_S = 0.04


class Consumer:
    """Has a message that no one settles; each look takes a while, and the first fails as in a rebalance."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.looks = 0

    def assignment(self) -> set[TP]:
        self.looks += 1
        self._clock.advance(seconds=PATIENCE_S)
        if self.looks == 1:
            raise RuntimeError("the partition is not assigned")
        return {TP(TOPIC, 0)}

    def highwater(self, _: TP) -> int:
        return 1

    async def position(self, _: TP) -> int:
        return 0


@in_virtual_time
async def test_a_look_that_fails_does_not_end_the_watch() -> None:
    clock = FakeClock()
    consumer = Consumer(clock)
    still = SimpleNamespace(settled_messages=0, is_writing=False, next_offsets={})
    worker = StreamWorker(
        app=cast("faust.App", SimpleNamespace(crashed=False, consumer=consumer)),
        deliveries={TOPIC: cast("Deliveries", still)},
        fatal=asyncio.get_running_loop().create_future(),
        assigned=asyncio.Event(),
    )

    async with asyncio.timeout(60):
        await watch(worker, clock=clock, patience_s=PATIENCE_S)

    assert consumer.looks > 1
    with pytest.raises(StalledError):
        worker.fatal.result()
