"""`rollbook query` sends a statement as it was given: as an argument, from a file, or from standard input."""

import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.support.command_line import CommandLine

COMMENTED = "-- the first = line\nSELECT 1 AS n"


class Echo(HTTPServer):
    """Answers each statement with itself."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.statements: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    server: Echo

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.statements.append(body["sql"])
        answer = json.dumps({"meta": [{"name": "n"}], "data": [[1]]}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Keep standard error to the command."""


@pytest.fixture
def echo() -> Iterator[Echo]:
    with Echo() as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        yield server
        server.shutdown()
        serving.join()


@pytest.fixture
def cli(echo: Echo, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> CommandLine:
    return CommandLine(capsys, "--url", f"http://127.0.0.1:{echo.server_port}", "--data-dir", str(tmp_path))


@pytest.mark.parametrize(
    "sql", ["SELECT 1", "/* x */ SELECT 1", COMMENTED, "--x\nSELECT 1", "--\nSELECT 1", "-- file=x\n"]
)
@pytest.mark.parametrize("before", [(), ("--",)])
def test_a_statement_is_an_argument(cli: CommandLine, echo: Echo, before: tuple[str, ...], sql: str) -> None:
    assert cli.answer("query", *before, sql) == [{"n": 1}]
    assert echo.statements == [sql]


def test_a_statement_is_read_from_a_file(cli: CommandLine, echo: Echo, tmp_path: Path) -> None:
    path = tmp_path / "statement.sql"
    path.write_bytes(b"\xef\xbb\xbf" + COMMENTED.encode())

    cli.told("query", "--file", str(path))

    assert echo.statements == [COMMENTED]


@pytest.mark.parametrize("arguments", [("-",), ("--file", "-")])
def test_a_statement_is_read_from_standard_input(
    cli: CommandLine, echo: Echo, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(COMMENTED.encode())))

    cli.told("query", *arguments)

    assert echo.statements == [COMMENTED]


@pytest.mark.parametrize("arguments", [(), ("SELECT 1", "--file", "{file}"), ("SELECT 1", "SELECT 2")])
def test_one_statement_is_wanted(cli: CommandLine, echo: Echo, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    path = tmp_path / "statement.sql"
    path.write_text("SELECT 1")

    said = cli.type("query", *(part.replace("{file}", str(path)) for part in arguments)).sentence()

    assert "give one" in said or "unexpected extra argument" in said
    assert echo.statements == []


def test_a_file_in_another_encoding_is_named(cli: CommandLine, echo: Echo, tmp_path: Path) -> None:
    path = tmp_path / "statement.sql"
    path.write_bytes("SELECT 1".encode("utf-16"))

    assert "is in UTF-16; save it as UTF-8" in cli.type("query", "--file", str(path)).sentence()
