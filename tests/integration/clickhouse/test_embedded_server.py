# ruff: noqa: S608 - the table names are the test's own
import os
import subprocess
import threading
from contextlib import ExitStack
from pathlib import Path

import clickhouse_connect
import httpx
import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError

from infra.launch import launched
from tests.integration.clickhouse.conftest import PASSWORD, Server
from tests.support.eventually import eventually
from tests.support.plain_http import NO_AUTHORITIES


@pytest.fixture
def table(client: Client, request: pytest.FixtureRequest) -> str:
    name = f"t_{abs(hash(request.node.nodeid))}"
    client.command(
        f"CREATE TABLE {name} (a UInt64, s String) ENGINE = MergeTree ORDER BY a "
        "SETTINGS non_replicated_deduplication_window = 100"
    )
    return name


def count(client: Client, table: str) -> int:
    return int(client.query(f"SELECT count() FROM {table}").result_rows[0][0])


def test_rows_go_in_and_out_in_every_way_of_the_client(client: Client, table: str) -> None:
    client.insert(table, [[1, "ä'\n\\"]], column_names=["a", "s"])
    client.insert_arrow(table, pa.table({"a": pa.array([2], pa.uint64()), "s": ["b"]}))
    client.raw_insert(table, ["a", "s"], b'{"a": 3, "s": "c"}\n', fmt="JSONEachRow")
    client.raw_insert(table, ["a", "s"], b"4,d\n", fmt="CSV", compression=None)
    client.command(f"INSERT INTO {table} VALUES (5, 'e;')")

    rows = client.query(f"SELECT a, s FROM {table} ORDER BY a").result_rows

    assert rows == [(1, "ä'\n\\"), (2, "b"), (3, "c"), (4, "d"), (5, "e;")]
    assert client.query_arrow(f"SELECT max(a) AS m FROM {table}").to_pydict() == {"m": [5]}


def test_bound_parameters_are_values_and_not_code(client: Client) -> None:
    nasty = "'; DROP TABLE t; -- \\ \t ä"

    assert client.query("SELECT {p:String}, {n:Int8}", {"p": nasty, "n": -3}).result_rows == [(nasty, -3)]
    assert client.query("SELECT length({a:Array(UInt32)})", {"a": list(range(5_000))}).result_rows == [(5_000,)]


def test_compressed_bodies_go_both_ways(server: Server, table: str) -> None:
    for method in ("lz4", "zstd", "gzip"):
        compressing = clickhouse_connect.get_client(
            host="127.0.0.1", port=server.port, password=PASSWORD, compress=method, autogenerate_session_id=False
        )
        compressing.insert(table, [[n, "x" * 100] for n in range(2_000)], column_names=["a", "s"])
        assert len(compressing.query(f"SELECT s FROM {table} LIMIT 2000").result_rows) == 2_000
        compressing.close()


def test_a_repeated_insert_token_writes_once_also_after_a_kill(tmp_path: Path) -> None:
    server = Server(tmp_path / "data")
    server.start()
    try:
        client = server.client()
        client.command(
            "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 9"
        )
        for _ in range(2):
            client.insert("t", [[1]], column_names=["a"], settings={"insert_deduplication_token": "one"})
        client.close()

        server.kill()
        server.start()

        client = server.client()
        client.insert("t", [[2]], column_names=["a"], settings={"insert_deduplication_token": "one"})
        client.insert("t", [[3]], column_names=["a"], settings={"insert_deduplication_token": "two"})
        assert client.query("SELECT a FROM t ORDER BY a").result_rows == [(1,), (3,)]
        client.close()
    finally:
        assert server.stop() == 0


def test_a_server_that_was_killed_before_it_had_a_table_starts_again(tmp_path: Path) -> None:
    server = Server(tmp_path / "data")
    try:
        for _ in range(2):
            server.start()
            server.kill()
        server.start()
        server.post("CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a").raise_for_status()
        server.kill()
        server.start()
        assert server.post("EXISTS TABLE t").text == "1\n"
    finally:
        server.stop()


def test_tables_stay_after_a_stop_and_the_file_system_is_still_no_database(tmp_path: Path) -> None:
    server = Server(tmp_path / "data")
    for expected in (b"1\n", b"2\n"):
        server.start()
        server.post("CREATE TABLE IF NOT EXISTS t (a UInt8) ENGINE = MergeTree ORDER BY a").raise_for_status()
        server.post("INSERT INTO t VALUES (1)").raise_for_status()
        assert server.post("SELECT count() FROM t").content == expected
        assert server.post("SELECT * FROM `/etc/hostname`").status_code == 404
        assert server.stop() == 0


@pytest.mark.parametrize(
    ("sql", "status", "code"),
    [
        ("SELEC 1", 400, "62"),
        ("SELECT * FROM nope", 404, "60"),
        ("SELECT 1; SELECT 2", 400, "62"),
        ("", 400, "62"),
        ("SELECT throwIf(number = 3) FROM numbers(5)", 500, "395"),
        ("SELECT file('/etc/passwd')", 403, "497"),
        ("SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a Int8')", 403, "497"),
        ("SELECT 1 INTO OUTFILE '/tmp/rollbook-outfile'", 403, "497"),
    ],
)
def test_errors_have_the_codes_and_words_of_clickhouse(server: Server, sql: str, status: int, code: str) -> None:
    answer = server.post(sql)

    assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (status, code)
    assert answer.text.startswith(f"Code: {code}. DB::Exception: ")


@pytest.mark.parametrize("readonly", ["1", "2"])
@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO {table} VALUES (1, '')",
        "INSERT INTO {table} FORMAT CSV\n1,x\n",
        "CREATE TABLE other (a Int8) ENGINE = Memory",
        "DROP TABLE {table}",
        "TRUNCATE TABLE {table}",
        "ALTER TABLE {table} DELETE WHERE 1",
        "KILL QUERY WHERE 1",
        "SET readonly = 0",
        "SELECT 1 SETTINGS readonly = 0",
        "WITH 1 AS x SELECT * FROM {table} INTO OUTFILE 'x'",
    ],
)
def test_a_readonly_query_cannot_write(server: Server, table: str, sql: str, readonly: str) -> None:
    answer = server.post(sql.format(table=table), readonly=readonly)

    assert answer.status_code >= 400
    assert server.post(f"SELECT count() FROM {table}", readonly=readonly).text == "0\n"


def test_get_reads_and_does_not_write(server: Server, table: str) -> None:
    def get(sql: str) -> httpx.Response:
        return httpx.get(
            server.url, params={"query": sql}, auth=("default", PASSWORD), timeout=180, verify=NO_AUTHORITIES
        )

    assert get("SELECT 1").text == "1\n"
    assert get(f"DROP TABLE {table}").headers["x-clickhouse-exception-code"] == "164"


def test_nobody_comes_in_without_the_password(server: Server) -> None:
    wrong = httpx.post(server.url, content="SELECT 1", auth=("default", "wrong"), timeout=180, verify=NO_AUTHORITIES)

    assert httpx.post(server.url, content="SELECT 1", timeout=180, verify=NO_AUTHORITIES).status_code == 403
    assert (wrong.status_code, wrong.headers["x-clickhouse-exception-code"]) == (403, "516")


def test_what_one_query_sets_does_not_reach_the_next(server: Server) -> None:
    server.post("SELECT 1", max_threads="1", readonly="1", param_x="1").raise_for_status()

    assert server.post("SELECT getSetting('readonly')").text == "0\n"


@pytest.mark.parametrize("value", ["eu-west_1.log", "a b&max_threads=3", "50 %20", "it's \\ ü", "", "x" * 5_000])
def test_a_setting_has_the_very_text_that_was_given(server: Server, value: str) -> None:
    answer = server.post("SELECT getSetting('log_comment') FORMAT RawBLOB", log_comment=value)

    assert answer.text == value


@pytest.mark.parametrize(("name", "value", "code"), [("max_threads", "many", "27"), ("no_such_setting", "1", "115")])
def test_a_wrong_setting_is_an_error_of_the_engine(server: Server, name: str, value: str, code: str) -> None:
    refused = server.post("SELECT 1", **{name: value})

    assert refused.headers["x-clickhouse-exception-code"] == code
    assert name in refused.text


def test_time_and_memory_are_limited_and_cannot_be_raised(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", MAX_EXECUTION_SECONDS="1", MAX_MEMORY_MIB="32")
    server.start()
    try:
        slow = server.post(
            "SELECT count() FROM numbers(100000000000) WHERE sipHash64(number) = 1", max_execution_time="0"
        )
        # On a busy machine its time may be over before its memory is.
        eventually(lambda: _ends_for_its_memory(server), "a query ends for its memory", within_s=180)
    finally:
        server.stop()

    assert (slow.status_code, slow.headers["x-clickhouse-exception-code"]) == (408, "159")


def _ends_for_its_memory(server: Server) -> bool:
    answer = server.post("SELECT length(groupArray(number)) FROM numbers(100000000)", max_memory_usage="0")
    code = answer.headers["x-clickhouse-exception-code"]
    assert code in {"159", "241"}, answer.text
    return code == "241"


def test_a_long_query_holds_nobody_up(server: Server) -> None:
    answers: list[httpx.Response] = []
    endless = "SELECT sum(sleepEachRow(0.1)) FROM numbers(1000000) SETTINGS max_block_size = 1"
    long = threading.Thread(target=lambda: answers.append(server.post(endless)))

    def is_running() -> bool:
        found = server.post("SELECT count() FROM system.processes WHERE query LIKE 'SELECT sum(sleepEachRow%'")
        return found.text == "1\n"

    long.start()
    try:
        eventually(is_running, "the long query runs", within_s=180)

        for _ in range(20):
            assert server.post("SELECT 1").text == "1\n"

        assert is_running()
    finally:
        server.post("KILL QUERY WHERE query LIKE 'SELECT sum(sleepEachRow%'")
        long.join()
    assert answers[0].headers["x-clickhouse-exception-code"] == "394", "it ran until it was cancelled"


def test_a_query_that_finds_no_place_is_told_to_come_again(server: Server) -> None:
    # A result that no one fetches, and that is larger than all buffers on its way, keeps its query's place.
    rows = 5_000_000
    with ExitStack() as stack:
        holders = [stack.enter_context(server.stream(f"SELECT number FROM numbers({rows})")) for _ in range(4)]

        refused = server.post("SELECT 1")

        assert (refused.status_code, refused.headers["x-clickhouse-exception-code"]) == (503, "202")
        for holder in holders:
            assert holder.read().count(b"\n") == rows
    assert server.post("SELECT 1").text == "1\n"


def test_large_results_stream(client: Client) -> None:
    total = 0
    with client.query_row_block_stream("SELECT number FROM numbers(1000000)") as blocks:
        for block in blocks:
            total += sum(row[0] for row in block)

    assert total == 999_999 * 500_000


def test_an_error_in_the_middle_of_a_stream_is_not_taken_for_its_end(client: Client) -> None:
    sql = "SELECT throwIf(number = 900000) FROM numbers(1000000) SETTINGS max_block_size = 10000, max_threads = 1"

    with pytest.raises((StreamFailureError, DatabaseError)), client.query_row_block_stream(sql) as blocks:
        for _ in blocks:
            pass


def test_a_taken_folder_is_one_sentence(server: Server) -> None:
    second = Server(server.folder)
    refused = subprocess.run(
        launched("clickhouse"),
        env={**os.environ, **second.environment()},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )

    assert refused.returncode == 78
    assert "that no other process has it open" in refused.stderr
