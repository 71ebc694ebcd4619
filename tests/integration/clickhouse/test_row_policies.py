"""Row policies on the embedded server: what they hide, and how they change while queries run."""

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.integration.clickhouse.conftest import Server
from tests.support.eventually import eventually

OWN = "USING getSetting('log_comment') = '' OR owner = getSetting('log_comment') TO ALL"
ROWS = 3_000_000
# Larger than all buffers on its way, so that it ends when it is read.
STREAM = "SELECT number FROM numbers(3000000)"


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Server]:
    """A server with the rows of two owners, and no policy yet."""
    server = Server(tmp_path / "data", PARALLEL_QUERIES="3", WAIT_SECONDS="4")
    server.start()
    try:
        server.post("CREATE TABLE t (owner String, value String) ENGINE = MergeTree ORDER BY value").raise_for_status()
        server.post("INSERT INTO t SELECT ['a', 'b'][1 + number % 2], toString(number) FROM numbers(1000)")
        yield server
    finally:
        if server.process is not None and server.process.poll() is None:
            server.stop()


def count(server: Server, comment: str) -> str:
    return server.post("SELECT count() FROM t", log_comment=comment, readonly="1").text


def test_a_policy_holds_at_once_and_after_a_kill(guarded: Server) -> None:
    before = count(guarded, "a")

    guarded.post(f"CREATE ROW POLICY p ON t {OWN}").raise_for_status()
    at_once = [count(guarded, comment) for comment in ("a", "nobody", "")]
    guarded.kill()
    guarded.start()

    assert before == "1000\n"
    assert at_once == ["500\n", "0\n", "1000\n"]
    assert [count(guarded, comment) for comment in ("a", "nobody", "")] == at_once


def test_a_policy_is_listed_and_may_come_before_its_table(guarded: Server) -> None:
    guarded.post(f"CREATE ROW POLICY p ON default.t, default.later {OWN}").raise_for_status()
    guarded.post("CREATE TABLE later (owner String) ENGINE = MergeTree ORDER BY owner").raise_for_status()
    guarded.post("INSERT INTO later VALUES ('b')").raise_for_status()

    listed = guarded.post("SELECT database, table FROM system.row_policies ORDER BY table").text

    assert listed == "default\tlater\ndefault\tt\n"
    assert guarded.post("SELECT count() FROM later", log_comment="a").text == "0\n"


def test_policies_may_come_before_every_table_and_the_file_system_is_still_no_database(tmp_path: Path) -> None:
    server = Server(tmp_path / "data")
    server.start()
    try:
        for number in range(2):
            server.post(f"CREATE ROW POLICY p{number} ON t {OWN}").raise_for_status()
        file = server.post("SELECT * FROM `/etc/hostname`")
        server.post("CREATE TABLE t (owner String) ENGINE = MergeTree ORDER BY owner").raise_for_status()
        server.post("INSERT INTO t VALUES ('a')").raise_for_status()

        assert (file.status_code, count(server, "b"), count(server, "a")) == (404, "0\n", "1\n")
    finally:
        server.stop()


def test_a_stream_that_runs_ends_whole_before_the_policy_changes(guarded: Server) -> None:
    with guarded.stream(STREAM) as stream:
        refused = guarded.post(f"CREATE ROW POLICY p ON t {OWN}")
        while_it_streams = count(guarded, "a")
        whole = stream.read().count(b"\n")

    changed = guarded.post(f"CREATE ROW POLICY p ON t {OWN}")

    assert (refused.status_code, refused.headers["x-clickhouse-exception-code"]) == (503, "202")
    assert (whole, while_it_streams) == (ROWS, "1000\n")
    assert (changed.status_code, count(guarded, "a")) == (200, "500\n")


def test_queries_and_inserts_go_on_while_policies_change(guarded: Server) -> None:
    answers: list[httpx.Response] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            answers.append(guarded.post("SELECT count() FROM t WHERE owner = 'a'"))
            answers.append(guarded.post("INSERT INTO t VALUES ('b', 'x')"))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for number in range(8):
            eventually(partial(_has_more_than, answers, 4 * number), "queries run", within_s=180)
            guarded.post(f"CREATE ROW POLICY p{number} ON t {OWN}").raise_for_status()
    finally:
        over.set()
        for thread in threads:
            thread.join()

    assert {answer.status_code for answer in answers} == {200}
    inserted = len(answers) // 2
    assert guarded.post("SELECT count() FROM t WHERE value = 'x'").text == f"{inserted}\n"
    assert count(guarded, "a") == "500\n"


def _has_more_than(answers: list[httpx.Response], number: int) -> bool:
    return len(answers) > number


def test_a_policy_that_is_there_already_waits_for_no_one(guarded: Server) -> None:
    guarded.post(f"CREATE ROW POLICY OR REPLACE p ON t {OWN}").raise_for_status()

    with guarded.stream(STREAM) as stream:
        again = guarded.post(f"CREATE ROW POLICY OR REPLACE p ON t {OWN}")
        stream.read()

    assert again.status_code == 200


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("CREATE ROW POLICY p ON t USING TO ALL", "62"),
        ("CREATE ROW POLICY p ON t USING 1 TO someone", "48"),
        ("CREATE ROW POLICY p ON t USING 1 TO ALL; SELECT 1", "62"),
    ],
)
def test_a_policy_that_cannot_be_kept_is_refused(server: Server, sql: str, code: str) -> None:
    assert server.post(sql).headers["x-clickhouse-exception-code"] == code


def test_a_readonly_query_creates_no_policy(server: Server) -> None:
    refused = server.post("CREATE ROW POLICY p ON t USING 1 TO ALL", readonly="1")

    assert refused.headers["x-clickhouse-exception-code"] == "164"


def test_a_damaged_file_of_policies_stops_the_start(guarded: Server) -> None:
    guarded.stop()
    (guarded.folder / "row_policies.json").write_bytes(b"[{")

    with pytest.raises(AssertionError, match="the server ended with 78"):
        guarded.start()
