"""The relay against a real broker and a real store: what the store has, the topic has, once and in order."""

import asyncio
import signal
from contextlib import AbstractAsyncContextManager

import msgspec
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from control_plane.log.ports import DocumentedLog, LoggedDocument, LoggedEvent, Place
from control_plane.relay.errors import PoisonEventError, TopicForeignError
from control_plane.relay.record import position_of
from control_plane.relay.relay import Pace
from control_plane.relay.topic_reader import open_reader
from infra.kafka.clients import producer
from tests.integration.relay.scene import DEADLINE_SECONDS, Scene
from tests.support.store import assign, context, model_id, register


async def test_the_topic_holds_the_log_once_and_in_order(scene: Scene) -> None:
    await scene.register(20)
    async with scene.relay():
        await asyncio.wait_for(scene.caught_up.wait(), DEADLINE_SECONDS)
        assert await scene.published() == await scene.stored()

        await asyncio.gather(*(scene.store.execute(context(), register(f"later{n}")) for n in range(50)))
        await scene.eventually_equal()


async def test_a_relay_goes_on_after_the_last_one(scene: Scene) -> None:
    for round_ in range(3):
        scene.caught_up.clear()
        await scene.register(3, prefix=f"r{round_}-")
        async with scene.relay(pace=Pace(batch=2)):
            await asyncio.wait_for(scene.caught_up.wait(), DEADLINE_SECONDS)

    assert await scene.published() == await scene.stored()


async def test_a_commit_is_published_by_its_nudge_alone(scene: Scene) -> None:
    await scene.register(1)
    async with (
        scene.relay(pace=Pace(poll_seconds=3_600)),
        open_reader(scene.broker.connection, scene.topics.events, client_id="test") as (consumer, partition),
    ):
        await asyncio.wait_for(scene.caught_up.wait(), DEADLINE_SECONDS)
        consumer.seek(partition, len(await scene.stored()))

        for number in range(20):
            executed = await scene.store.execute(context(), register(f"nudged{number}"))
            async with asyncio.timeout(DEADLINE_SECONDS):
                while position_of(await consumer.getone()) < executed.position:
                    pass


async def test_a_broker_that_is_killed_and_comes_back_misses_nothing(scene: Scene) -> None:
    await scene.register(5)
    async with scene.relay():
        await asyncio.wait_for(scene.caught_up.wait(), DEADLINE_SECONDS)
        scene.broker.kill()
        await scene.register(5, prefix="away")
        await asyncio.to_thread(scene.broker.start)
        await scene.register(5, prefix="back")
        await scene.eventually_equal()


async def test_a_broker_that_stood_still_gets_nothing_twice(scene: Scene) -> None:
    await scene.register(5)
    async with scene.relay(pace=Pace(deadline_seconds=1.0, settle_seconds=0.3)):
        await asyncio.wait_for(scene.caught_up.wait(), DEADLINE_SECONDS)
        assert scene.broker.process is not None
        scene.broker.process.send_signal(signal.SIGSTOP)
        try:
            await scene.register(5, prefix="frozen")
            async with asyncio.timeout(DEADLINE_SECONDS):
                while not scene.failures():
                    await asyncio.sleep(0.02)
        finally:
            scene.broker.process.send_signal(signal.SIGCONT)
        await scene.eventually_equal()
        # What came late came before this.
        await scene.register(1, prefix="after")
        await scene.eventually_equal()


async def test_a_topic_made_anew_while_no_relay_ran_is_filled_again(scene: Scene, admin: AIOKafkaAdminClient) -> None:
    await scene.register(5)
    async with scene.relay():
        await asyncio.wait_for(scene.caught_up.wait(), DEADLINE_SECONDS)
    await scene.make_anew(admin, scene.topics.events)

    async with scene.relay():
        await scene.eventually_equal()


async def test_a_topic_that_is_ahead_of_the_store_stops_the_relay(scene: Scene) -> None:
    await scene.register(1)
    await _write_foreign(scene, position=b"99")

    async with scene.relay() as running:
        with pytest.raises(TopicForeignError, match="goes to position 99 but the store only to 2"):
            await asyncio.wait_for(asyncio.shield(running), DEADLINE_SECONDS)


async def test_a_topic_that_lacks_its_beginning_stops_the_relay(scene: Scene) -> None:
    await scene.register(2)
    await _write_foreign(scene, position=b"4")

    async with scene.relay() as running:
        with pytest.raises(TopicForeignError, match="holds 1 of the 4 events"):
            await asyncio.wait_for(asyncio.shield(running), DEADLINE_SECONDS)


async def test_a_poison_event_halts_and_is_not_skipped(scene: Scene) -> None:
    await scene.register(1)

    async with scene.relay(log=_Poisoned(scene.log)) as running:
        with pytest.raises(PoisonEventError, match=r"the event at position 2 .* cannot be published"):
            await asyncio.wait_for(asyncio.shield(running), DEADLINE_SECONDS)

    assert [event.position for event in await scene.published()] in ([], [1])


class _Poisoned:
    """A log whose second event is damaged."""

    def __init__(self, inner: DocumentedLog) -> None:
        self._inner = inner

    async def read(self, *, after: int, limit: int) -> list[LoggedEvent]:
        found = await self._inner.read(after=after, limit=limit)
        return [msgspec.structs.replace(event, canonical=b"{") if event.position == 2 else event for event in found]

    def one_moment(self) -> AbstractAsyncContextManager[None]:
        return self._inner.one_moment()

    async def documents(self, *, after: Place, up_to: int, limit: int) -> list[LoggedDocument]:
        return await self._inner.documents(after=after, up_to=up_to, limit=limit)

    async def catalogue_format(self) -> str | None:
        return await self._inner.catalogue_format()

    async def head(self) -> int:
        return await self._inner.head()

    async def count(self, *, up_to: int) -> int:
        return await self._inner.count(up_to=up_to)


async def _write_foreign(scene: Scene, *, position: bytes) -> None:
    kafka = producer(scene.broker.connection, client_id="test")
    await kafka.start()
    try:
        headers = [("position", position), ("ce_streamversion", b"1"), ("ce_type", b"x")]
        await kafka.send_and_wait(scene.topics.events, b"{}", key=b"model-1", headers=headers)
    finally:
        await kafka.stop()


async def test_a_model_is_where_its_id_says(scene: Scene) -> None:
    await scene.store.execute(context(), register("digits", stream=model_id(1)))
    await scene.store.execute(context(), assign(model_id(1)))
    async with scene.relay():
        await scene.eventually_equal()

    assert {event.stream for event in await scene.published()} == {model_id(1)}
