"""The writer over a real file that refuses: nothing is half-written, and the writer lives on."""

import itertools
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from control_plane.event_store.errors import StoreUnavailableError
from control_plane.event_store.log_rows import select_head
from control_plane.event_store.recorder import PositionRecorder
from control_plane.event_store.sqlite_database import SqliteDatabase
from control_plane.event_store.sqlite_file import open_recorder
from control_plane.event_store.writer import WORK, Command, Job, Limits, Outcome, Writer
from control_plane.keys.key_file import KeyFile, open_key_file
from control_plane.ports import Executed, Reply, UnitOfWork
from infra.background import Background
from tests.support.fakes import FakeClock
from tests.support.store import assign, context, model_id, register

DEADLINE_SECONDS = 180.0


class UncertainDatabase(SqliteDatabase):
    """The real database, whose commit of more than `commits_at_most` commands fails while that is set."""

    commits_at_most: int | None = None
    fails_after_commit = False
    savepoints = 0

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.savepoints = 0
        with super().transaction():
            yield
            if self.commits_at_most is not None and self.savepoints > self.commits_at_most:
                raise StoreUnavailableError("the event store is on a full disk", remedy="free some space")
        if self.fails_after_commit and self.savepoints:
            raise SystemExit(3)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        self.savepoints += 1
        with super().savepoint():
            yield


class Bench:
    """A writer whose commands are all queued before it starts, so that they form one group."""

    def __init__(self, recorder: PositionRecorder, database: UncertainDatabase, keys: KeyFile) -> None:
        self.recorder = recorder
        self.database = database
        self.keys = keys
        self.background = Background()
        self._randomness = itertools.count(1)

    def run(self, *commands: Command) -> list[Outcome]:
        outcomes: dict[int, Outcome] = {}
        all_done = threading.Event()

        def deliver(group: list[tuple[Job, Outcome]], _head: int | None) -> None:
            outcomes.update({job.ticket: outcome for job, outcome in group})
            if len(outcomes) == len(commands):
                all_done.set()

        writer = Writer(
            self.database,
            keys=self.keys,
            clock=FakeClock(),
            randomness=lambda: next(self._randomness),
            deliver=deliver,
            limits=Limits(group_seconds=60.0),
            background=self.background,
        )
        for ticket, command in enumerate(commands):
            writer.queue.put_nowait(Job(context(), command, ticket))
        writer.start()
        assert all_done.wait(DEADLINE_SECONDS)
        writer.stop()
        return [outcomes[ticket] for ticket in range(len(commands))]

    def head(self) -> int:
        with self.recorder.reading() as cursor:
            return select_head(cursor)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with (
        open_key_file(tmp_path / "keys.sqlite") as keys,
        open_recorder(tmp_path / "registry.sqlite") as recorder,
        recorder.datastore.get_connection(commit=True) as connection,
    ):
        yield Bench(recorder, UncertainDatabase(recorder, connection), keys)


def pragma(bench: Bench, statement: str) -> None:
    bench.database._query(f"PRAGMA {statement}", ())  # noqa: SLF001  the test is the disk


def versions(outcomes: list[Outcome]) -> list[int | str | None]:
    return [
        outcome.reply.stream_version if isinstance(outcome, Executed) else type(outcome).__name__
        for outcome in outcomes
    ]


def test_a_full_disk_is_told_with_the_remedy_and_writing_goes_on_when_there_is_room(bench: Bench) -> None:
    bench.run(register("first", stream=model_id(1)))
    pragma(bench, "max_page_count = 1")

    refused = bench.run(*(register(f"m{n}", stream=model_id(10 + n)) for n in range(60)))

    outages = [outcome for outcome in refused if isinstance(outcome, StoreUnavailableError)]
    stored = [outcome for outcome in refused if isinstance(outcome, Executed)]
    assert outages
    assert len(outages) + len(stored) == 60
    assert outages[0].detail == "the event store is on a full disk"
    assert outages[0].remedy == "free some space, then try again; nothing was written"
    assert bench.head() == 2 + 2 * len(stored)

    pragma(bench, "max_page_count = 100000")
    assert versions(bench.run(register("last", stream=model_id(2)), assign(model_id(1)))) == [2, 3]


def test_a_file_that_turned_read_only_is_told_with_the_remedy(bench: Bench) -> None:
    bench.run(register("first", stream=model_id(1)))
    pragma(bench, "query_only = 1")

    (refused,) = bench.run(assign(model_id(1)))

    assert isinstance(refused, StoreUnavailableError)
    assert refused.detail == "the event store cannot be written"
    pragma(bench, "query_only = 0")
    assert versions(bench.run(assign(model_id(1)))) == [3]


def test_a_group_that_cannot_be_committed_is_committed_one_by_one(bench: Bench) -> None:
    bench.run(register("first", stream=model_id(1)))
    bench.database.commits_at_most = 1

    outcomes = bench.run(assign(model_id(1)), register("first"), assign(model_id(1)), register("second"))

    assert versions(outcomes) == [3, "NameTakenError", 4, 2]
    assert bench.head() == 6


def test_what_a_failed_commit_left_undone_is_not_remembered(bench: Bench) -> None:
    bench.run(register("first", stream=model_id(1)))
    bench.database.commits_at_most = 0

    failed = bench.run(assign(model_id(1)), assign(model_id(1)))
    bench.database.commits_at_most = None

    assert versions(failed) == ["StoreUnavailableError", "StoreUnavailableError"]
    assert versions(bench.run(assign(model_id(1)))) == [3]


def test_an_error_once_all_is_committed_ends_neither_the_writer_nor_the_wait_of_its_callers(bench: Bench) -> None:
    bench.database.fails_after_commit = True

    (unknown,) = bench.run(register("first", stream=model_id(1)))
    bench.database.fails_after_commit = False

    assert isinstance(unknown, StoreUnavailableError)
    assert "may have been carried out" in unknown.detail
    assert (bench.background.failures, bench.background.failing) == ({WORK: 1}, (WORK,))
    assert versions(bench.run(assign(model_id(1)))) == [3]


def test_a_command_that_asks_to_exit_ends_neither_the_writer_nor_the_commands_after_it(bench: Bench) -> None:
    def exit_(_unit: UnitOfWork) -> Reply:
        raise SystemExit(3)

    bench.run(register("first", stream=model_id(1)))

    assert versions(bench.run(exit_)) == ["StoreUnavailableError"]
    assert versions(bench.run(assign(model_id(1)))) == [3]


class UncertainKeys:
    """The real key file, whose shredding meets a bug while that is set."""

    is_broken = True

    def __init__(self, keys: KeyFile) -> None:
        self._keys = keys

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  whatever the key file has
        return getattr(self._keys, name)

    def shred(self, key_ids: Iterable[str]) -> None:
        if self.is_broken:
            raise RuntimeError("a bug")
        self._keys.shred(key_ids)


def test_a_bug_in_shredding_ends_neither_the_writer_nor_the_order_to_shred(bench: Bench) -> None:
    keys = UncertainKeys(bench.keys)
    bench.keys = cast("KeyFile", keys)
    bench.run(register("first", stream=model_id(1)))
    with bench.database.transaction():
        bench.database.order_shredding({"key-1"})

    outcomes = bench.run(assign(model_id(1)), assign(model_id(1)))

    assert versions(outcomes) == [3, 4]
    keys.is_broken = False
    assert versions(bench.run(assign(model_id(1)))) == [5]
    with bench.database.transaction():
        assert not bench.database.ordered_shredding()
