import asyncio
import random
import time

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from projections.rebuild import compare_all, rebuild_all, swap_all
from projections.store import ClickHouseStore
from schemas.events import rollouts
from schemas.observations import REQUEST_COLUMNS
from schemas.topics import REGISTRY_EVENTS, REQUESTS, dead_letters_of
from tests.integration.kafka.conftest import Node
from tests.integration.projections.conftest import READY_S, Program, eventually
from tests.support.read_side_messages import ROLLOUT, event_message, headers, ipc, request_row

ROWS = 50
COUNT = """
    SELECT count() AS rows, uniqExact(gateway_id, byte_offset) AS ids
    FROM request_records WHERE gateway_id = {g:String}
"""


async def counted(store: ClickHouseStore, gateway: str) -> tuple[int, int]:
    rows = await store.select(COUNT, {"g": gateway})
    return rows[0]["rows"], rows[0]["ids"]


async def produce_batches(bootstrap: str, gateway: str, *, batches: int, pause_s: float) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        for batch in range(batches):
            now = time.time_ns() // 1_000_000
            rows = [
                request_row(batch * ROWS + number, started_at_ms=now - 10, gateway_id=gateway) for number in range(ROWS)
            ]
            described = headers(source=gateway, kind="requests", batch=batch, rows=ROWS, closed_until_ms=now)
            await producer.send_and_wait(
                REQUESTS.name, ipc(rows, REQUEST_COLUMNS), partition=batch % 4, headers=described.as_kafka()
            )
            await asyncio.sleep(pause_s)
    finally:
        await producer.stop()


async def test_a_worker_that_is_killed_again_and_again_doubles_and_loses_no_row(
    program: Program, node: Node, store: ClickHouseStore
) -> None:
    gateway, batches = f"gateway-{random.getrandbits(32):x}", 400
    producing = asyncio.ensure_future(produce_batches(node.bootstrap, gateway, batches=batches, pause_s=0.02))

    for kill_after_s in (0.3, 0.7, 1.1):
        program.start()
        await asyncio.to_thread(program.wait_until_ready)
        await asyncio.sleep(kill_after_s)
        program.kill()
    program.start()
    await producing

    async def everything_is_there() -> bool:
        return (await counted(store, gateway))[1] == batches * ROWS

    await eventually(everything_is_there, within_s=60, what="all rows are in the table")
    assert await counted(store, gateway) == (batches * ROWS, batches * ROWS), "without FINAL: no row is there twice"
    comparisons = await compare_all(store, await rebuild_all(store, node.bootstrap))
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

    await eventually(the_good_one_is_there, within_s=60, what="the event after the bad one")
    letters = AIOKafkaConsumer(
        dead_letters_of(REGISTRY_EVENTS).name, bootstrap_servers=node.bootstrap, auto_offset_reset="earliest"
    )
    await letters.start()
    letter = await asyncio.wait_for(letters.getone(), timeout=20)
    await letters.stop()
    assert letter.value == b"\xffnot an event"
    assert dict(letter.headers)["position"] == b"7"
    assert b"no event" in dict(letter.headers)["reason"]
    assert dict(letter.headers)["partition"] == b"0"


async def test_a_swap_keeps_what_arrives_meanwhile(program: Program, node: Node, store: ClickHouseStore) -> None:
    gateway, batches = f"gateway-{random.getrandbits(32):x}", 150
    program.start()
    await asyncio.to_thread(program.wait_until_ready)
    producing = asyncio.ensure_future(produce_batches(node.bootstrap, gateway, batches=batches, pause_s=0.02))

    await asyncio.sleep(1)
    await swap_all(store, await rebuild_all(store, node.bootstrap))
    await producing

    async def everything_is_there() -> bool:
        return (await counted(store, gateway))[1] == batches * ROWS

    await eventually(everything_is_there, within_s=60, what="all rows are in the table")


async def test_a_worker_that_cannot_say_that_it_is_ready_ends_instead_of_seeming_to_start(program: Program) -> None:
    program.settings["READY_FILE"] = str(program.ready_file.parent / "missing" / "projections.ready")

    program.start()
    assert program.process is not None
    code = await asyncio.to_thread(program.process.wait, READY_S)

    assert code == 1
