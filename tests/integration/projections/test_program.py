import asyncio
import random
import time
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from infra.kafka.connection import KafkaConnection
from projections.rebuild import compare_all, rebuild_all, swap_all
from projections.store import ClickHouseStore
from projections.table_layout import bring_up_to_date
from schemas.events import rollouts
from schemas.observations import REQUEST_COLUMNS
from schemas.topics import REGISTRY_EVENTS, REQUESTS, dead_letters_of
from tests.integration.projections.conftest import READY_S, Program, eventually, opened
from tests.support.kafka_node import Node
from tests.support.read_side_messages import ROLLOUT, event_message, headers, ipc, request_row

ROWS = 50
_PAUSE_S = 0.02
# What ends longer ago is in a minute that is closed.
ENDED_AGO_MS = 2 * 60_000
# Other tests have written to the topics too.
ROLLED_UP = """
    WITH (SELECT max(until_ms) FROM rollup_progress WHERE kind = 'requests' AND span_ms = 60000) AS closed_ms
    SELECT (SELECT sum(requests) FROM request_rollups FINAL WHERE span_ms = 60000) AS rolled_up,
           (SELECT count() FROM request_records FINAL WHERE role = 'primary' AND ended_at_ms < closed_ms) AS closed
"""
COUNT = """
    SELECT count() AS rows, uniqExact(gateway_id, byte_offset) AS ids
    FROM request_records FINAL WHERE gateway_id = {g:String}
"""


@pytest.fixture
async def store(fresh_database: str) -> AsyncIterator[ClickHouseStore]:
    """The database of the program alone."""
    async with opened(fresh_database) as store:
        await bring_up_to_date(store)
        yield store


async def counted(store: ClickHouseStore, gateway: str) -> tuple[int, int]:
    rows = await store.select(COUNT, {"g": gateway})
    return rows[0]["rows"], rows[0]["ids"]


class Producing:
    """Sends batches of one gateway until it is told that it is enough."""

    def __init__(self, bootstrap: str) -> None:
        self.gateway = f"gateway-{random.getrandbits(32):x}"
        self.batches = 0
        self._enough = asyncio.Event()
        self._task = asyncio.create_task(self._run(bootstrap))

    async def end(self, *, more: int) -> int:
        """Send some more, and return how many rows there should be."""
        until = self.batches + more
        async with asyncio.timeout(READY_S):
            while self.batches < until and not self._task.done():
                await asyncio.sleep(_PAUSE_S)
        self._enough.set()
        await self._task
        return self.batches * ROWS

    async def _run(self, bootstrap: str) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
        await producer.start()
        try:
            while not self._enough.is_set():
                await self._send(producer)
                await asyncio.sleep(_PAUSE_S)
        finally:
            await producer.stop()

    async def _send(self, producer: AIOKafkaProducer) -> None:
        now, batch = time.time_ns() // 1_000_000, self.batches
        rows = [
            request_row(batch * ROWS + number, started_at_ms=now - ENDED_AGO_MS, gateway_id=self.gateway)
            for number in range(ROWS)
        ]
        described = headers(source=self.gateway, kind="requests", batch=batch, rows=ROWS, closed_until_ms=now)
        self.batches += 1
        await producer.send_and_wait(
            REQUESTS.name, ipc(rows, REQUEST_COLUMNS), partition=batch % 4, headers=described.as_kafka()
        )


async def rows_come(store: ClickHouseStore, gateway: str, *, at_least: int) -> int:
    """Wait until so many different rows are in the table; return how many there are."""
    found = 0

    async def enough() -> bool:
        nonlocal found
        found = (await counted(store, gateway))[1]
        return found >= at_least

    await eventually(enough, within_s=200, what=f"{at_least} rows in the table")
    return found


async def test_a_worker_that_is_killed_again_and_again_doubles_and_loses_no_row(
    program: Program, node: Node, store: ClickHouseStore
) -> None:
    producing, found = Producing(node.bootstrap), 0

    # In each of its lives it is killed a little later after its first insert.
    for batches in (1, 5, 10):
        program.start()
        await asyncio.to_thread(program.wait_until_ready)
        found = await rows_come(store, producing.gateway, at_least=found + batches * ROWS)
        program.kill()
    program.start()
    rows = await producing.end(more=20)

    await rows_come(store, producing.gateway, at_least=rows)
    assert await counted(store, producing.gateway) == (rows, rows), "with FINAL, no row appears twice"

    async def all_are_rolled_up() -> bool:
        (found,) = await store.select(ROLLED_UP)
        return bool(rows <= found["closed"] == found["rolled_up"])

    await eventually(all_are_rolled_up, within_s=180, what=f"{rows} requests in roll-ups")
    comparisons = await compare_all(store, await rebuild_all(store, KafkaConnection(bootstrap=node.bootstrap)))
    assert [one.table for one in comparisons if not one.is_equal] == []
    assert program.stop() == 0


async def test_what_cannot_be_decoded_is_kept_with_its_reason(
    program: Program, node: Node, store: ClickHouseStore
) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=node.bootstrap, acks="all")
    paused = rollouts.RolloutPaused(step=1, reason="by hand")
    good = event_message(paused, stream=ROLLOUT, version=1, position=1, at_ms=time.time_ns() // 1_000_000)
    await producer.start()
    await producer.send_and_wait(REGISTRY_EVENTS.name, b"\xffnot an event", headers=[("position", b"7")])
    await producer.send_and_wait(REGISTRY_EVENTS.name, good.value, headers=list(good.headers))
    await producer.stop()
    program.start()

    async def the_good_one_is_there() -> bool:
        return bool(await store.select("SELECT 1 FROM domain_events WHERE position = 1"))

    await eventually(the_good_one_is_there, within_s=180, what="the event after the bad one")
    letters = AIOKafkaConsumer(
        dead_letters_of(REGISTRY_EVENTS).name, bootstrap_servers=node.bootstrap, auto_offset_reset="earliest"
    )
    await letters.start()
    letter = await asyncio.wait_for(letters.getone(), timeout=180)
    await letters.stop()
    assert letter.value == b"\xffnot an event"
    assert dict(letter.headers)["position"] == b"7"
    assert b"not an event" in dict(letter.headers)["reason"]
    assert dict(letter.headers)["partition"] == b"0"


async def test_a_swap_keeps_what_arrives_meanwhile(program: Program, node: Node, store: ClickHouseStore) -> None:
    program.start()
    await asyncio.to_thread(program.wait_until_ready)
    producing = Producing(node.bootstrap)
    await rows_come(store, producing.gateway, at_least=10 * ROWS)

    before = producing.batches
    await swap_all(store, await rebuild_all(store, KafkaConnection(bootstrap=node.bootstrap)))

    assert producing.batches > before, "something arrived meanwhile"
    rows = await producing.end(more=10)
    await rows_come(store, producing.gateway, at_least=rows)


async def test_a_worker_that_cannot_say_that_it_is_ready_ends_instead_of_seeming_to_start(program: Program) -> None:
    program.settings["READY_FILE"] = str(program.ready_file.parent / "missing" / "projections.ready")

    program.start()
    assert program.process is not None
    code = await asyncio.to_thread(program.process.wait, READY_S)

    assert code == 1
