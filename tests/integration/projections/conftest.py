"""Real neighbours for the read side: one ClickHouse server, one Kafka node, and the program itself as a process."""

import asyncio
import os
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from infra.clock import SystemClock
from infra.launch import launched
from projections.messages import Message
from projections.reading import Reader
from projections.sink.progress import Mark, Position
from projections.sink.sink import Sink
from projections.store import ClickHouseStore
from projections.table_layout import bring_up_to_date
from projections.tables import Projector
from schemas.topics import TOPICS
from tests.integration.clickhouse.conftest import PASSWORD, Server
from tests.support.fakes import FakeClock
from tests.support.kafka_node import Node, running_node

READY_S = 180
# What migrations leave in a fresh database stays.
_FILLED = """
SELECT name FROM system.tables
WHERE database = currentDatabase() AND total_rows > 0 AND name NOT IN ('schema_migrations', 'sink_identity')
"""


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("clickhouse"))
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="package")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running_node(tmp_path_factory.mktemp("kafka"), topics=TOPICS) as node:
        yield node


@pytest.fixture
async def fresh_database(server: Server) -> str:
    """A database without tables, for one test."""
    return await created_database(server)


@pytest.fixture(scope="package")
def views_database(server: Server) -> str:
    """The database whose tables each test finds empty."""

    async def with_tables() -> str:
        url = await created_database(server)
        async with opened(url) as store:
            await bring_up_to_date(store)
        return url

    return asyncio.run(with_tables())


@pytest.fixture
async def store(views_database: str) -> AsyncIterator[ClickHouseStore]:
    async with opened(views_database) as store:
        for table in await store.select(_FILLED):
            await store.command(f"TRUNCATE TABLE {table['name']}")
        yield store


@pytest.fixture
def reader(store: ClickHouseStore) -> Reader:
    return Reader(store, clock=SystemClock())


def reader_at(store: ClickHouseStore, now_ms: int) -> Reader:
    """Read as if no time passed from then on, so that nothing grows old while a test runs."""
    return Reader(store, clock=FakeClock(now_ms=now_ms))


class NoLetters:
    async def put(self, message: Message, *, reason: str) -> None:
        pytest.fail(f"offset {message.offset} could not be decoded: {reason}")


class MarksInMemory:
    def __init__(self, generation: int) -> None:
        self._generation = generation

    async def load(self, topic: str, partition: int) -> Position:  # noqa: ARG002  the form of the port
        return Position(generation=self._generation)

    async def begin(self, topic: str, marks: Sequence[tuple[int, Mark]]) -> None:
        """Nothing here survives, so nothing needs to be remembered."""


def sink_into(store: ClickHouseStore, projector: Projector, *, generation: int = 0) -> Sink:
    return Sink(projector=projector, inserts=store, marks=MarksInMemory(generation), dead_letters=NoLetters())


class Program:
    """The program `projections` as a process that can be killed."""

    def __init__(self, folder: Path, *, bootstrap: str, clickhouse_url: str) -> None:
        self.ready_file = folder / "projections.ready"
        self.settings = {
            "DATA_DIR": str(folder),
            "KAFKA_BOOTSTRAP": bootstrap,
            "CLICKHOUSE_URL": clickhouse_url,
            "READY_FILE": str(self.ready_file),
            "ROLLUP_MS": "200",
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {f"ROLLBOOK_PROJECTIONS_{name}": value for name, value in self.settings.items()}
        self.process = subprocess.Popen(launched("projections"), env={**os.environ, **environment})

    def wait_until_ready(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + READY_S
        while not self.ready_file.exists():
            assert self.process.poll() is None, f"the program ended with {self.process.returncode}"
            assert time.monotonic() < deadline, "the program is not ready in time"
            time.sleep(0.05)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(timeout=180)
        self.ready_file.unlink(missing_ok=True)

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        try:
            return self.process.wait(timeout=180)
        except subprocess.TimeoutExpired:
            self.kill()
            raise


@pytest.fixture
def program(tmp_path: Path, node: Node, fresh_database: str) -> Iterator[Program]:
    made = Program(tmp_path, bootstrap=node.bootstrap, clickhouse_url=fresh_database)
    try:
        yield made
    finally:
        if made.process is not None and made.process.poll() is None:
            made.kill()


async def eventually(look: Callable[[], Awaitable[bool]], *, within_s: float, what: str) -> None:
    """Poll until it holds, or fail at the deadline."""
    deadline = time.monotonic() + within_s
    while not await look():
        assert time.monotonic() < deadline, f"{what}: not within {within_s} s"
        await asyncio.sleep(0.1)


@asynccontextmanager
async def opened(database_url: str) -> AsyncIterator[ClickHouseStore]:
    """Open a store until the block is left."""
    store = ClickHouseStore(database_url)
    try:
        yield store
    finally:
        await store.close()


async def created_database(server: Server) -> str:
    """Make a database without tables and return its URL."""
    name = f"views_{uuid.uuid4().hex[:12]}"
    async with opened(_url(server, "default")) as store:
        await store.command(f"CREATE DATABASE {name} ENGINE = Atomic")
    return _url(server, name)


def _url(server: Server, database: str) -> str:
    return server.url.replace("http://", f"http://default:{PASSWORD}@") + f"/{database}"
