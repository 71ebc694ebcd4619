"""The audit over a real topic: it agrees, it finds what differs, and it rebuilds a store from the topic alone."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from functools import partial
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from structlog.testing import capture_logs

from control_plane.audit.app import EXIT_BROKEN, EXIT_SOUND, EXIT_UNREADABLE, main
from control_plane.audit.checkpoint import signing_key_pem
from control_plane.audit.history import Evidence
from control_plane.audit.log_tree import LogTree, SignedCheckpoint
from control_plane.audit.restore import restore_store
from control_plane.audit.verifier import Comparison, verify_store, verify_store_against_topic
from control_plane.errors import Refused
from control_plane.event_store.log_file import open_log_file
from control_plane.event_store.restored_file import restored_file
from control_plane.log.errors import LogBrokenError
from control_plane.relay.app import RelaySettings, run_relay
from control_plane.relay.topic_log import open_topic_log
from infra.errors import CannotStartError
from schemas.identifiers import Kind
from schemas.topics import REGISTRY_EVENTS, SERVING_STATE
from tests.contracts.stores import open_sqlite
from tests.support.fakes import FakeClock
from tests.support.kafka_node import Node
from tests.support.store import assign, context, model_id, recorded, refuse_after, register

DEADLINE_SECONDS = 180.0
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


class Installation:
    """A data directory with a store, and the relay program on it."""

    def __init__(self, root: Path, broker: Node) -> None:
        self.root = root
        self.kafka = broker.connection
        self.events = root / "events"
        self.store = self.events / "registry.sqlite"
        self.events.mkdir()
        self.ready = root / "relay.ready"

    async def fill(self, *, models: int = 5) -> SignedCheckpoint:
        async with open_sqlite(self.events, FakeClock(), []) as store:
            for number in range(1, models + 1):
                await store.execute(context(), register(f"m{number}", stream=model_id(number)))
                with pytest.raises(Refused):
                    await store.execute(context(), refuse_after(assign(model_id(number))))
            # A gap in the positions, as a rolled-back group may leave one.
            with closing(sqlite3.connect(self.store)) as connection, connection:
                connection.execute("UPDATE sqlite_sequence SET seq = seq + 7 WHERE name = 'events'")
            await store.execute(context(), assign(model_id(1)))
            return await LogTree(store.log, KEY).checkpoint()

    @asynccontextmanager
    async def relaying(self) -> AsyncIterator[asyncio.Task[None]]:
        settings = RelaySettings(
            data_dir=self.root,
            kafka=self.kafka,
            nudge_socket=self.root / "relay.sock",
            ready_file=self.ready,
        )
        stopping = asyncio.Event()
        running = asyncio.ensure_future(run_relay(settings, stopping))
        try:
            yield running
        finally:
            stopping.set()
            await asyncio.wait_for(running, DEADLINE_SECONDS)

    async def publish(self) -> None:
        async with self.relaying():
            await self.until_ready()

    async def until_ready(self) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not self.ready.exists():
                await asyncio.sleep(0.02)

    async def verify(self) -> Evidence:
        with open_log_file(self.store) as log:
            return await verify_store(log)

    async def compare(self, *, patience_seconds: float = 10.0) -> Comparison:
        with open_log_file(self.store) as log:
            open_topic = partial(open_topic_log, self.kafka)
            return await verify_store_against_topic(log, open_topic, patience_seconds=patience_seconds)

    async def restore(self) -> Evidence:
        with restored_file(self.store) as unfinished:
            async with open_topic_log(self.kafka) as topic:
                return await restore_store(topic, unfinished)

    def alter(self, statement: str) -> None:
        with closing(sqlite3.connect(self.store)) as connection, connection:
            connection.execute(statement)


@pytest.fixture
async def installation(tmp_path: Path, broker: Node, admin: AIOKafkaAdminClient) -> AsyncIterator[Installation]:
    topics = [REGISTRY_EVENTS.name, SERVING_STATE.name]
    await admin.create_topics([NewTopic(name, 1, 1) for name in topics])
    yield Installation(tmp_path, broker)
    await admin.delete_topics(topics)
    async with asyncio.timeout(DEADLINE_SECONDS):
        while set(topics) & set(await admin.list_topics()):
            await asyncio.sleep(0.05)


async def test_store_and_topic_have_the_root_of_the_checkpoint(installation: Installation) -> None:
    checkpoint = await installation.fill()
    await installation.publish()

    comparison = await installation.compare()

    assert comparison.store == comparison.topic
    assert (comparison.store.size, comparison.store.position) == (checkpoint.tree_size, checkpoint.position)
    assert (comparison.store.size, comparison.store.position) == (11, 18)
    assert checkpoint.checkpoint.split("\n")[1:3] == ["11", checkpoint.root]


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("DELETE FROM events WHERE position = 3", "version 0 to version 2; an event before it is missing"),
        ("DELETE FROM events WHERE position = 18", "the topic has an event at position 18 that the store lacks"),
        ("UPDATE events SET position = 15 WHERE position = 18", "the store goes on at position 15"),
        (
            "UPDATE events SET state = CAST(replace(CAST(state AS TEXT), 'm2', 'm9') AS BLOB)",
            "position 3 is another event in the topic than in the store",
        ),
    ],
)
async def test_what_was_altered_in_the_store_is_found(
    installation: Installation, statement: str, sentence: str
) -> None:
    await installation.fill()
    await installation.publish()
    installation.alter(statement)

    with pytest.raises(LogBrokenError, match=sentence):
        await installation.compare()


async def test_a_topic_that_lacks_the_end_is_found(installation: Installation) -> None:
    await installation.fill()

    with pytest.raises(LogBrokenError, match="the topic ends before position 1"):
        await installation.compare(patience_seconds=0.3)


async def test_a_store_is_rebuilt_from_the_topic_alone(installation: Installation) -> None:
    await installation.fill()
    await installation.publish()
    async with open_sqlite(installation.events, FakeClock(), []) as store:
        log, rows = await recorded(store), store.catalogue().find(Kind.MODEL, workspace="default")
    before = await installation.verify()
    for path in installation.events.iterdir():
        path.unlink()

    restored = await installation.restore()

    assert restored == before == await installation.verify()
    async with open_sqlite(installation.events, FakeClock(), []) as store:
        assert await recorded(store) == log
        assert store.catalogue().find(Kind.MODEL, workspace="default") == rows
        assert (await store.execute(context(), assign(model_id(1)))).position == log[-1].position + 1
    with pytest.raises(CannotStartError, match="already exists"):
        await installation.restore()


@asynccontextmanager
async def waiting(installation: Installation) -> AsyncIterator[asyncio.Task[None]]:
    """Start a relay beside one that is active, and say when it has noticed."""
    with capture_logs() as logged:
        async with installation.relaying() as second:
            async with asyncio.timeout(DEADLINE_SECONDS):
                while not any(entry["event"] == "another_relay_is_active" for entry in logged):
                    await asyncio.sleep(0.02)
            yield second


async def test_a_second_relay_waits_for_the_first_to_end(installation: Installation) -> None:
    await installation.fill()
    async with AsyncExitStack() as first:
        await first.enter_async_context(installation.relaying())
        await installation.until_ready()
        async with waiting(installation) as second:
            assert not second.done()
            assert not installation.ready.exists()

            await first.aclose()

            await installation.until_ready()


async def test_a_relay_that_waits_for_another_can_be_stopped(installation: Installation) -> None:
    await installation.fill()
    async with installation.relaying():
        await installation.until_ready()
        async with waiting(installation) as second:
            assert not second.done()


def test_the_program_tells_the_three_ends_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "events").mkdir()
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "checkpoint-signing.pem").write_bytes(signing_key_pem(KEY))
    checkpoint = asyncio.run(_filled(tmp_path))
    note = tmp_path / "checkpoint"
    note.write_text(checkpoint.checkpoint, encoding="utf-8")
    verify = ["verify", "--data-dir", str(tmp_path), "--json", "--checkpoint", str(note)]

    capsys.readouterr()
    assert main(verify) == EXIT_SOUND
    assert json.loads(capsys.readouterr().out)["tree_size"] == checkpoint.tree_size
    assert main([*verify, "--key", checkpoint.public_key]) == EXIT_SOUND
    with closing(sqlite3.connect(tmp_path / "events" / "registry.sqlite")) as connection, connection:
        connection.execute("DELETE FROM events WHERE position = 4")
    capsys.readouterr()
    assert main(verify) == EXIT_BROKEN
    assert "a checkpoint covers 4" in json.loads(capsys.readouterr().out)["sentence"]
    assert main(["verify", "--data-dir", str(tmp_path / "nowhere")]) == EXIT_UNREADABLE
    assert main(["verify", "--topic", "--data-dir", str(tmp_path)]) == EXIT_UNREADABLE
    assert "--bootstrap" in capsys.readouterr().err


async def _filled(root: Path) -> SignedCheckpoint:
    async with open_sqlite(root / "events", FakeClock(), []) as store:
        tree = LogTree(store.log, KEY)
        first = await tree.checkpoint()
        await store.execute(context(), register("a"))
        await store.execute(context(), register("b"))
        second = await tree.checkpoint()
    assert (first.tree_size, second.tree_size) == (0, 4)
    return second
