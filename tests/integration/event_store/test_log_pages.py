"""What a page of the log costs: no more than it returns."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from eventsourcing.persistence import StoredEvent

from control_plane.event_store.log_pages import MAX_SCANNED, read_page
from control_plane.event_store.sqlite_file import open_recorder
from control_plane.log.ports import LogPage, LogSelection

OURS, THEIRS, DAMAGED = b'{"workspace":"ours"}', b'{"workspace":"theirs"}', b"{"
MANY = 3_000
FEW_STEPS = 1_000
LONG = 5_000


class Log:
    """A file of rows, whatever they hold, and pages of it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._versions: dict[str, int] = {}
        self.steps = 0

    def append(self, stream: str, type_name: str, state: bytes = OURS, *, times: int = 1) -> None:
        first = self._versions.get(stream, 0) + 1
        self._versions[stream] = first + times - 1
        events = [
            StoredEvent(originator_id=stream, originator_version=version, topic=type_name, state=state)
            for version in range(first, first + times)
        ]
        with open_recorder(self._path) as recorder, recorder.datastore.transaction(commit=True) as cursor:
            recorder.insert(cursor, events)

    def page(self, *, after: int = 0, limit: int = 100, stream: str = "", type_name: str = "") -> LogPage:
        """Read a page, and count the steps of SQLite's machine that it takes."""
        self.steps = 0
        wanted = LogSelection(workspace="ours", stream=stream, type=type_name)
        with closing(sqlite3.connect(self._path)) as connection:
            connection.set_progress_handler(self._stepped, 1)
            return read_page(connection.cursor(), wanted, after=after, limit=limit)

    def plans(self, *, stream: str, type_name: str) -> list[str]:
        """Say how SQLite finds a page, one text for each statement that reads events."""
        statements: list[str] = []
        wanted = LogSelection(workspace="ours", stream=stream, type=type_name)
        with closing(sqlite3.connect(self._path)) as connection:
            connection.set_trace_callback(statements.append)
            read_page(connection.cursor(), wanted, after=1, limit=10)
            connection.set_trace_callback(None)
            explained = [connection.execute(f"EXPLAIN QUERY PLAN {each}").fetchall() for each in statements]
        return [" ".join(detail for *_, detail in plan) for plan in explained]

    def _stepped(self) -> int:
        self.steps += 1
        return 0


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "registry.sqlite")


def positions(page: LogPage) -> list[int]:
    return [event.position for event in page.events]


WANTED: tuple[dict[str, Any], ...] = (
    {},
    {"stream": "stream"},
    {"type_name": "shifted"},
    {"stream": "stream", "type_name": "shifted"},
)


@pytest.mark.parametrize("wanted", WANTED)
def test_a_page_decodes_nothing_but_what_it_returns(log: Log, wanted: dict[str, Any]) -> None:
    log.append("stream", "shifted", DAMAGED)
    log.append("stream", "shifted", times=2)
    log.append("stream", "shifted", DAMAGED)
    log.append("another", "shifted", DAMAGED)

    assert positions(log.page(after=1, limit=2, **wanted)) == [2, 3]


@pytest.mark.parametrize(
    "wanted", [{"type_name": "rare"}, {"stream": "small"}, {"stream": "small", "type_name": "rare"}]
)
def test_what_is_rare_is_found_without_a_look_at_the_rest(log: Log, wanted: dict[str, Any]) -> None:
    log.append("large", "frequent", times=MANY)
    log.append("small", "rare")
    log.append("large", "frequent", times=MANY)

    page = log.page(**wanted)

    assert (positions(page), page.read_until) == ([MANY + 1], 2 * MANY + 1)
    assert log.steps < FEW_STEPS


def test_a_page_in_the_middle_costs_no_more_for_a_long_log(log: Log) -> None:
    log.append("stream", "frequent", times=MANY)

    for type_name in ("", "frequent"):
        page = log.page(after=MANY // 2, limit=2, type_name=type_name)
        assert positions(page) == [MANY // 2 + 1, MANY // 2 + 2]
        assert log.steps < FEW_STEPS


@pytest.mark.parametrize("wanted", [{"stream": "stream"}, {"stream": "stream", "type_name": "shifted"}])
def test_the_last_page_of_a_long_stream_costs_what_the_first_one_does(log: Log, wanted: dict[str, Any]) -> None:
    for _ in range(LONG // 50):
        log.append("stream", "shifted", times=50)
        log.append("another", "shifted", times=7)

    after, costs, found = 0, [], 0
    while (page := log.page(after=after, **wanted)).events:
        costs.append(log.steps)
        after, found = page.read_until, found + len(page.events)

    assert found == LONG
    assert len(costs) == LONG // 100
    # The first page needs no search by halves, which takes some 150 steps.
    assert max(costs) < 1.5 * min(costs)


def test_a_page_of_a_stream_begins_after_any_position(log: Log) -> None:
    for _ in range(4):
        log.append("stream", "shifted")
        log.append("another", "shifted", times=2)
    expected = [1, 4, 7, 10]

    for after in range(14):
        wanted = [position for position in expected if position > after]
        assert positions(log.page(after=after, stream="stream")) == wanted
        assert positions(log.page(after=after, limit=2, stream="stream", type_name="shifted")) == wanted[:2]
    assert positions(log.page(stream="unheard")) == []


def test_a_stream_that_lost_rows_is_paged_all_the_same(log: Log, tmp_path: Path) -> None:
    log.append("stream", "shifted", times=9)
    with closing(sqlite3.connect(tmp_path / "registry.sqlite")) as connection, connection:
        connection.execute("DELETE FROM events WHERE position IN (1, 4, 5, 9)")

    for after in range(10):
        expected = [position for position in (2, 3, 6, 7, 8) if position > after]
        assert positions(log.page(after=after, stream="stream")) == expected


def test_a_page_of_a_stream_is_found_in_the_index_of_its_versions(log: Log) -> None:
    log.append("stream", "shifted", times=3)

    plans = log.plans(stream="stream", type_name="shifted")

    *_, page = plans
    assert "(originator_id=? AND originator_version>?)" in page
    assert all("SCAN" not in plan and "USE TEMP B-TREE" not in plan for plan in plans)


def test_events_of_other_workspaces_end_a_page_before_it_has_looked_at_too_many(log: Log) -> None:
    log.append("theirs", "frequent", THEIRS, times=MAX_SCANNED + 1)
    log.append("ours", "frequent")

    first = log.page()
    second = log.page(after=first.read_until)

    assert (first.events, first.read_until, first.head) == ([], MAX_SCANNED, MAX_SCANNED + 2)
    assert (positions(second), second.read_until) == ([MAX_SCANNED + 2], MAX_SCANNED + 2)


def test_a_file_of_an_earlier_release_gets_its_index(tmp_path: Path) -> None:
    log = Log(tmp_path / "registry.sqlite")
    log.append("large", "frequent", times=MANY)
    with closing(sqlite3.connect(tmp_path / "registry.sqlite")) as connection:
        connection.execute("DROP INDEX events_types")

    log.append("small", "rare")

    assert positions(log.page(type_name="rare")) == [MANY + 1]
    assert log.steps < FEW_STEPS
