"""The calls of the control plane that the follower makes, over HTTP; it can go away and come back."""

import asyncio
import json
from typing import Any

from infra.ports import free_port


class FakeControlPlane:
    """Answers with the keys, and keeps what was reported: epochs applied, and failovers.

    A report that comes again changes nothing, as in the real one: its sender may have heard the answer too late.
    """

    def __init__(self, jwks: list[dict[str, Any]]) -> None:
        self.port = free_port()
        self.jwks = jwks
        self.applied: list[tuple[str, int]] = []
        self.failovers: list[dict[str, Any]] = []
        self.tokens: set[str] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def stop(self) -> None:
        if self._server:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in head[1:])}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.tokens.add(headers.get("authorization", ""))
            answer = json.dumps(self._answer(head[0].split(" ")[1], body)).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\n")
            writer.write(f"content-length: {len(answer)}\r\n\r\n".encode() + answer)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _answer(self, path: str, body: bytes) -> dict[str, Any]:
        if path == "/v1/inference-tokens/keys":
            return {"keys": self.jwks}
        if "/failover-" in path:
            _add(self.failovers, {"what": path.rsplit("/", 1)[-1], "endpoint": path.split("/")[3], **json.loads(body)})
            return {}
        _add(self.applied, (path.split("/")[3], json.loads(body)["epoch"]))
        return {}


def _add(reports: list[Any], report: object) -> None:
    if report not in reports:
        reports.append(report)
