import gzip
from base64 import b64encode

import pytest

from infra.clickhouse.http_errors import ClickHouseError, from_engine
from infra.clickhouse.http_requests import QueryRequest, credentials, read_request


def read(method: str = "POST", query: bytes = b"", body: bytes = b"", **headers: str) -> QueryRequest:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return read_request(method, query, named, body, max_bytes=1_000)


def test_a_query_begins_in_the_url_and_goes_on_in_the_body() -> None:
    assert read(query=b"query=INSERT+INTO+t+FORMAT+CSV", body=b"1").sql == b"INSERT INTO t FORMAT CSV\n1"


def test_settings_and_parameters_are_told_apart_from_the_protocols_own() -> None:
    request = read(query=b"max_threads=2&param_a=x&database=d&query_id=q&wait_end_of_query=1&session_id=s")

    assert (request.settings, request.parameters) == ({"max_threads": "2"}, {"a": "x"})
    assert (request.database, request.query_id, request.is_buffered) == ("d", "q", True)


@pytest.mark.parametrize(("query", "readonly"), [(b"", 2), (b"readonly=0", 2), (b"readonly=1", 1)])
def test_get_only_reads(query: bytes, readonly: int) -> None:
    assert read("GET", query).readonly == readonly


def test_a_setting_with_code_in_its_name_is_refused() -> None:
    with pytest.raises(ClickHouseError, match="Code: 115"):
        read(query=b"a%3D1%2Cb=2")


def test_a_small_body_that_grows_beyond_the_limit_is_refused() -> None:
    with pytest.raises(ClickHouseError) as refused:
        read(body=gzip.compress(b"0" * 5_000), content_encoding="gzip")

    assert refused.value.status == 413


@pytest.mark.parametrize("encoding", ["gzip", "lz4", "zstd", "br"])
def test_a_body_that_is_not_what_it_says_is_refused(encoding: str) -> None:
    with pytest.raises(ClickHouseError) as refused:
        read(body=b"plain", content_encoding=encoding)

    assert refused.value.status == 400


def test_forms_carry_query_and_parameters() -> None:
    body = (
        b'--x\r\nContent-Disposition: form-data; name="query"\r\n\r\nSELECT {a:String}\r\n'
        b'--x\r\nContent-Disposition: form-data; name="param_a"\r\n\r\nlong\r\n--x--\r\n'
    )

    request = read(body=body, content_type="multipart/form-data; boundary=x")

    assert (request.sql, request.parameters) == (b"SELECT {a:String}", {"a": "long"})


@pytest.mark.parametrize(
    ("query", "headers", "expected"),
    [
        (b"", {"authorization": "Basic " + b64encode(b"u:p:q").decode()}, ("u", "p:q")),
        (b"", {"x-clickhouse-user": "u", "x-clickhouse-key": "p"}, ("u", "p")),
        (b"user=u&password=p", {}, ("u", "p")),
        (b"", {"authorization": "Basic !"}, ("", "")),
        (b"", {}, None),
    ],
)
def test_credentials_come_in_every_known_way(
    query: bytes, headers: dict[str, str], expected: tuple[str, str] | None
) -> None:
    assert credentials(query, headers) == expected


def test_the_engines_code_is_found_behind_the_words_of_its_wrappers() -> None:
    error = from_engine(RuntimeError("Streaming failed: Code: 60. DB::Exception: no table. (UNKNOWN_TABLE)"))

    assert (error.code, error.status, error.text[:9]) == (60, 404, "Code: 60.")
