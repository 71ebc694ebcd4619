import pytest

from infra.clickhouse.statements import read_statement


@pytest.mark.parametrize(
    ("sql", "head", "data_format", "data"),
    [
        (b"INSERT INTO t FORMAT Native\n\x00\x01", b"INSERT INTO t ", "Native", b"\x00\x01"),
        (b"insert into t (a, `format`) format CSV \r\n1,2\n", b"insert into t (a, `format`) ", "CSV", b"1,2\n"),
        (b"INSERT INTO format FORMAT CSV\n1", b"INSERT INTO format ", "CSV", b"1"),
        (
            b"/* x */ INSERT INTO t SETTINGS a=1 FORMAT JSONEachRow {}",
            b"/* x */ INSERT INTO t SETTINGS a=1 ",
            "JSONEachRow",
            b"{}",
        ),
    ],
)
def test_data_begins_behind_the_format_of_an_insert(sql: bytes, head: bytes, data_format: str, data: bytes) -> None:
    statement = read_statement(sql)

    assert (statement.insert_head, statement.output_format, statement.insert_data) == (head, data_format, data)


@pytest.mark.parametrize("sql", [b"INSERT INTO t VALUES (1, 'FORMAT CSV')", b"INSERT INTO t SELECT 1"])
def test_an_insert_without_a_format_is_run_as_it_is(sql: bytes) -> None:
    assert read_statement(sql).insert_head is None


@pytest.mark.parametrize(
    ("sql", "output_format"),
    [
        (b"SELECT 1 FORMAT JSON", "json"),
        (b"SELECT 1\n format Native SETTINGS max_threads = 1;", "native"),
        (b"SELECT 'FORMAT JSON'", None),
        (b"SELECT (SELECT 1 FORMAT JSON)", None),
        (b"SELECT 1 -- FORMAT JSON", None),
    ],
)
def test_the_format_of_a_query_is_known(sql: bytes, output_format: str | None) -> None:
    assert read_statement(sql).output_format == output_format


@pytest.mark.parametrize(
    "sql",
    [
        b"SELECT file('/etc/passwd')",
        b"SELECT * FROM FILE /* x */ ('/etc/passwd')",
        b"SELECT * FROM `file`('/etc/passwd')",
        b'SELECT * FROM "file" -- x\n (1)',
        b"SELECT \xe2\x80\x98'\xe2\x80\x99, file('x'), \xe2\x80\x98'\xe2\x80\x99",
        b"SELECT $a$'$a$, file('x')--'",
        b"SELECT /* /* */ ' */ file('x')",
        b"SELECT 'it''s', file('x')",
        b"SELECT 'a\\'', file('x')",
        b"SELECT '\\\\', file('x')",
    ],
)
def test_a_call_is_found_however_it_is_dressed(sql: bytes) -> None:
    assert "file" in read_statement(sql).called


def test_a_name_spelled_with_escapes_stands_for_all() -> None:
    assert read_statement(b"SELECT `fil\\x65`('x')").called == {"\\"}


@pytest.mark.parametrize(
    "sql", [b"SELECT 'file(1)'", b"SELECT file, (1)", b"SELECT 1 -- file(1)", b"SELECT profile(1)"]
)
def test_text_and_columns_are_no_calls(sql: bytes) -> None:
    assert "file" not in read_statement(sql).called


@pytest.mark.parametrize("sql", [b"SELECT 1 INTO OUTFILE 'x'", b"INSERT INTO t FROM /**/ INFILE 'x' FORMAT CSV"])
def test_files_are_noticed(sql: bytes) -> None:
    assert read_statement(sql).touches_files


@pytest.mark.parametrize(
    ("sql", "several"), [(b"SELECT 1;", False), (b"SELECT ';'", False), (b"SELECT 1; SELECT 2", True)]
)
def test_several_statements_are_noticed(sql: bytes, several: bool) -> None:  # noqa: FBT001
    assert read_statement(sql).is_several is several


@pytest.mark.parametrize(
    ("sql", "reads"), [(b" (SELECT 1)", True), (b"KILL QUERY WHERE 1", False), (b"/*x*/DROP TABLE t", False)]
)
def test_statements_that_only_read_are_known_by_their_first_word(sql: bytes, reads: bool) -> None:  # noqa: FBT001
    assert read_statement(sql).only_reads is reads
