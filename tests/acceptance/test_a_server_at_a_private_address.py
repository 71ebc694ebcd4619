"""Whoever may register a version has the host call no address of its own network, and is told why."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.command_line import CommandLine
from tests.support.stack import RunningStack

TEXT = ("--input", "prompt:BYTES:-1", "--output", "completion:BYTES:-1")

pytestmark = pytest.mark.timeout(1_200)


class Server(ThreadingHTTPServer):
    """A server of this machine that knows whether it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keep standard error to the test."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        serving = threading.Thread(target=running.serve_forever, args=(0.05,))
        serving.start()
        yield running
        running.shutdown()
        serving.join()


@pytest.fixture
def cli(stack: RunningStack, capfd: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(capfd, "--data-dir", str(stack.data_dir))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f.1"])
def test_it_is_not_called_and_the_endpoint_says_what_to_grant(
    cli: CommandLine, server: Server, name: str, tmp_path: Path, host: str
) -> None:
    description = tmp_path / "far.json"
    url = f"http://{host}:{server.server_address[1]}"
    description.write_text(json.dumps({"protocol": "openai", "url": url, "model": "far"}))
    cli.told("model", "register", name)
    cli.told("version", "register", name, str(description), "--format", "external", *TEXT)

    refusal = cli.refusal("endpoint", "create", name, "--version", f"{name}/1", "--wait")

    for told in (refusal, cli.answer("endpoint", "show", name)["deployments"][0]["failure"]):
        assert "127.0.0.1 (loopback)" in told
        assert host in told
        assert "ROLLBOOK_AGENT_EXTERNAL_NETWORKS=127.0.0.1" in told
        assert "address-not-granted" in told
    shown = " ".join(cli.told("endpoint", "show", name).split())
    assert "ROLLBOOK_AGENT_EXTERNAL_NETWORKS=127.0.0.1" in shown
    assert server.asked == []
