"""Documents against a real broker and a real store: the topic holds, of each, what its last event made of it."""

import asyncio
import sqlite3
import time
from contextlib import closing, suppress

import msgspec
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from control_plane.relay import relay
from control_plane.relay.record import TopicRecord
from control_plane.relay.relay import Pace
from infra.kafka.clients import MAX_RECORD_BYTES, producer
from schemas.documents.records import Removed, StateRecord
from tests.integration.relay.scene import DEADLINE_SECONDS, Scene
from tests.support.store import FULL, assign, context, model_id, register


async def test_a_document_is_there_after_its_event_as_the_catalogue_has_it(scene: Scene) -> None:
    async with scene.relay():
        await asyncio.wait_for(scene.caught_up.wait(), DEADLINE_SECONDS)
        await scene.store.execute(context(), register("digits", stream=model_id(1)))
        await scene.eventually_equal()
        (record,) = await _current(scene, 1)

    *_, last = await scene.stored()
    assert isinstance(record, StateRecord)
    assert (record.kind, record.id, record.workspace) == ("model", model_id(1), "default")
    assert (record.position, record.stream_version) == (last.position, last.version)
    assert record.event_id == msgspec.json.decode(last.canonical)["id"]
    assert msgspec.json.decode(record.document) == {"id": model_id(1), "numbers": [1]}


async def test_what_is_no_longer_followed_leaves_a_record_without_a_value(scene: Scene) -> None:
    await scene.store.execute(context(), register("digits", stream=model_id(1)))
    async with scene.relay():
        await asyncio.wait_for(scene.caught_up.wait(), DEADLINE_SECONDS)
        for _ in range(FULL - 1):
            await scene.store.execute(context(), assign(model_id(1)))
        assert await _current(scene, FULL + 1) == [Removed(id=model_id(1), position=FULL + 1)]

        await scene.store.execute(context(), assign(model_id(1)))
        (record,) = await _current(scene, FULL + 2)
        assert isinstance(record, StateRecord)


async def test_documents_that_change_while_no_relay_runs_are_published_once(scene: Scene) -> None:
    await scene.store.execute(context(), register("digits", stream=model_id(1)))
    for _ in range(FULL + 7):
        await scene.store.execute(context(), assign(model_id(1)))
    await scene.register(5)

    async with scene.relay(pace=Pace(batch=3)):
        await asyncio.wait_for(scene.caught_up.wait(), DEADLINE_SECONDS)

    positions = [record.position for record in await scene.documents()]
    assert positions == [2 + FULL + 7 + 2 * number for number in range(6)]


async def test_a_relay_goes_on_after_the_last_document(scene: Scene) -> None:
    for round_ in range(3):
        scene.caught_up.clear()
        await scene.register(2, prefix=f"r{round_}-")
        async with scene.relay(pace=Pace(batch=2)):
            await asyncio.wait_for(scene.caught_up.wait(), DEADLINE_SECONDS)

    # The last of those that were there is published again, as others may belong to its event.
    assert [record.position for record in await scene.documents()] == [2, 4, 4, 6, 8, 8, 10, 12]


async def test_a_topic_made_anew_while_no_relay_ran_is_filled_again(scene: Scene, admin: AIOKafkaAdminClient) -> None:
    await scene.register(3)
    async with scene.relay():
        await asyncio.wait_for(scene.caught_up.wait(), DEADLINE_SECONDS)
    scene.caught_up.clear()
    before = await scene.documents()
    await scene.make_anew(admin, scene.topics.documents)

    async with scene.relay():
        await asyncio.wait_for(scene.caught_up.wait(), DEADLINE_SECONDS)
        assert await scene.documents() == before
        assert await scene.published() == await scene.stored()


async def test_a_topic_made_anew_under_a_running_relay_is_filled_again(
    scene: Scene, admin: AIOKafkaAdminClient
) -> None:
    await scene.register(3)
    async with scene.relay():
        await asyncio.wait_for(scene.caught_up.wait(), DEADLINE_SECONDS)
        await scene.make_anew(admin, scene.topics.documents)
        await scene.store.execute(context(), register("later"))
        current = await _eventually(scene, 4)

    assert len({record.id for record in current}) == 4


async def test_a_topic_that_was_deleted_is_made_and_filled_again(scene: Scene, admin: AIOKafkaAdminClient) -> None:
    await scene.register(3)
    async with scene.relay():
        await asyncio.wait_for(scene.caught_up.wait(), DEADLINE_SECONDS)
    scene.caught_up.clear()
    await admin.delete_topics([scene.topics.documents])

    async with scene.relay():
        await asyncio.wait_for(scene.caught_up.wait(), DEADLINE_SECONDS)
        assert len(await _eventually(scene, 3)) == 3


async def test_documents_of_another_format_are_all_published_again(scene: Scene) -> None:
    await scene.register(3)
    async with scene.relay():
        await asyncio.wait_for(scene.caught_up.wait(), DEADLINE_SECONDS)
        before = await scene.documents()
        with closing(sqlite3.connect(scene.folder / "registry.sqlite")) as connection, connection:
            connection.execute("UPDATE properties SET value = 'a later one' WHERE name = 'catalogue_format'")
        deadline = time.monotonic() + DEADLINE_SECONDS
        while len(await scene.documents()) < len(before) * 2:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)

    assert await scene.documents() == before * 2


async def test_events_are_published_from_a_store_that_has_no_documents_yet(scene: Scene) -> None:
    await scene.register(3)
    with closing(sqlite3.connect(scene.folder / "registry.sqlite")) as connection, connection:
        connection.execute("DROP TABLE documents")

    async with scene.relay():
        await asyncio.wait_for(scene.caught_up.wait(), DEADLINE_SECONDS)

    assert await scene.published() == await scene.stored()
    assert await scene.documents() == []


@pytest.mark.parametrize(
    "headers",
    [
        [("position", b"2"), ("event_id", b"event-of-another"), ("format", b"3"), ("offset", b"0")],
        [("position", b"99"), ("event_id", b"event-of-another"), ("format", b"3"), ("offset", b"0")],
        [],
    ],
    ids=["another event", "a later event", "no relay's"],
)
async def test_after_what_another_wrote_all_documents_are_published(
    scene: Scene, headers: list[tuple[str, bytes]]
) -> None:
    await scene.register(2)
    await _write(scene, TopicRecord(key=b"model-1", value=b"{}", headers=headers))

    async with scene.relay():
        await asyncio.wait_for(scene.caught_up.wait(), DEADLINE_SECONDS)

    assert [record.position for record in await scene.documents()] == [2, 4]
    assert await scene.published() == await scene.stored()


async def test_a_document_that_no_broker_takes_keeps_back_nothing_else(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "_MAX_AROUND_BYTES", MAX_RECORD_BYTES - 100)
    await scene.store.execute(context(), register("large", stream=model_id(1)))
    for _ in range(30):
        await scene.store.execute(context(), assign(model_id(1)))
    await scene.store.execute(context(), register("small", stream=model_id(2)))

    async with scene.relay():
        await asyncio.wait_for(scene.caught_up.wait(), DEADLINE_SECONDS)

    assert [record.id for record in await scene.documents()] == [model_id(2)]
    assert await scene.published() == await scene.stored()


async def _eventually(scene: Scene, count: int) -> list[StateRecord | Removed]:
    """Return the documents of the topic once there are so many of them."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        with suppress(KafkaError):
            current = {record.id: record for record in await scene.documents()}
            if len(current) >= count:
                return list(current.values())
        assert time.monotonic() < deadline, f"there are not {count} documents"
        await asyncio.sleep(0.05)


async def _current(scene: Scene, position: int) -> list[StateRecord | Removed]:
    """Return the last record of each document, once the topic has come to a position."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        records = await scene.documents()
        if records and records[-1].position >= position:
            return list({record.id: record for record in records}.values())
        assert time.monotonic() < deadline, f"no document of position {position} was published"
        await asyncio.sleep(0.05)


async def _write(scene: Scene, record: TopicRecord) -> None:
    kafka = producer(scene.broker.connection, client_id="test")
    await kafka.start()
    try:
        await kafka.send_and_wait(
            scene.topics.documents, record.value, key=record.key, headers=record.headers, partition=0
        )
    finally:
        await kafka.stop()
