"""The relay as a process, before a small server that stands for one that already runs."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from infra.ports import free_port
from schemas.events.endpoints import VersionReference
from schemas.events.registry import Artifact, Signature
from serving.capture import records
from serving.capture.policy_file import PolicyInForce, write_policy
from serving.capture.records import ObservationRecord
from serving.capture.spool_reader import SpoolReader
from serving.runtime.load_failure import find_failure
from serving.runtime.manifest import ARTIFACT_NAME, Manifest, write_manifest
from tests.support.gateway import GUARD_S, until
from tests.support.plain_http import NO_AUTHORITIES

SECRET = "sk-very-secret"
CHAT = "/v1/chat/completions"
USAGE = {"prompt_tokens": 3, "completion_tokens": 2}


class Upstream:
    """Answers as OpenAI's API and the Open Inference Protocol do, for those who have the key."""

    def __init__(self) -> None:
        self.url = ""
        self.seen: list[dict[str, Any]] = []
        self.key = f"Bearer {SECRET}"
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.breaks_off = False
        self.left = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("authorization") != self.key:
            return web.json_response({"error": {"message": f"wrong key {SECRET}"}}, status=401)
        body = await request.json() if request.can_read_body else {}
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.seen.append({"path": request.path, "headers": headers, "body": body})
        try:
            if body:
                await self.may_answer.wait()
        except asyncio.CancelledError:
            self.left += 1
            raise
        if request.path == "/away":
            return web.HTTPFound("http://elsewhere.example/")
        if request.path.startswith("/base/v2/models/far"):
            return web.json_response({"outputs": [{"name": "label", "datatype": "INT64", "shape": [1], "data": [7]}]})
        if body.get("stream"):
            return await self._stream(request)
        choice = {"index": 0, "message": {"content": "Hello"}, "finish_reason": "stop"}
        return web.json_response({"model": "far", "choices": [choice], "usage": USAGE}, headers={"set-cookie": "a=b"})

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await answer.prepare(request)
        parts = [{"choices": [{"index": 0, "delta": {"content": text}}]} for text in ("Hel", "lo")]
        for part in (*parts, {"choices": [], "usage": USAGE}):
            await answer.write(b"data: " + json.dumps(part).encode() + b"\n\n")
            if self.breaks_off:
                assert request.transport is not None
                request.transport.abort()
                return answer
        await answer.write(b"data: [DONE]\n\n")
        return answer


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    found = Upstream()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", found.answer)
    runner = web.AppRunner(application, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


class Relay:
    """The process, and what it leaves."""

    def __init__(self, root: Path, upstream_url: str, *, protocol: str = "openai", credential: str = "prod") -> None:
        self.root = root
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.spool = root / "spool"
        self.process: subprocess.Popen[bytes] | None = None
        model = root / "model"
        model.mkdir()
        base = f"{upstream_url}/base" if protocol == "oip" else upstream_url
        description = {"protocol": protocol, "url": base, "model": "far", "credential": credential}
        (model / ARTIFACT_NAME).write_text(json.dumps(description))
        write_manifest(
            model,
            Manifest(
                workspace="default",
                endpoint_id="endpoint-1",
                endpoint="near",
                deployment_id="deployment-1",
                version=VersionReference(version_id="version-1", model_name="near", number=1),
                artifact=Artifact(digest="sha256:" + "0" * 64, size_bytes=1, format="external"),
                signature=Signature(inputs=(), outputs=()),
            ),
        )
        write_policy(root / "capture.json", PolicyInForce())
        (root / "engines").mkdir()
        # The agent makes it before it starts an engine.
        self.spool.mkdir()
        (root / "engines" / "prod").write_text(json.dumps({"origin": upstream_url, "value": f"Bearer {SECRET}"}))
        (root / "engines" / "prod").chmod(0o600)

    def start(self, **settings: str) -> None:
        own = {
            "PORT": str(self.port),
            "MODEL_DIR": str(self.root / "model"),
            "SPOOL_DIR": str(self.spool),
            "CAPTURE_FILE": str(self.root / "capture.json"),
            "BOOT_ID": "boot-1",
            "INSTANCE_ID": "instance-1",
            "CREDENTIALS_DIR": str(self.root / "engines"),
            "NETWORKS": "127.0.0.0/8",
            **settings,
        }
        environ = {**os.environ, **{f"ROLLBOOK_EXTERNAL_{name}": value for name, value in own.items()}}
        with (self.root / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "serving.external.app"], env=environ, stdout=log, stderr=log
            )

    async def until_live(self) -> None:
        async def is_live() -> bool:
            with suppress(httpx.TransportError):
                return (await client.get(f"{self.url}/rollbook/instance")).status_code > 0
            return False

        async with httpx.AsyncClient(timeout=180, verify=NO_AUTHORITIES) as client:
            await until(is_live, within_s=180, why="a relay that answers")

    def stop(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(GUARD_S) == 0, self.log

    @property
    def log(self) -> str:
        return (self.root / "log").read_text()

    def recorded(self) -> list[ObservationRecord]:
        payloads = SpoolReader(self.spool).read(0, max_frames=1_000, max_bytes=10**9).payloads
        return [item for item in map(records.decode, payloads) if isinstance(item, ObservationRecord)]


@pytest.fixture
def relay(tmp_path: Path, upstream: Upstream) -> Iterator[Relay]:
    made = Relay(tmp_path, upstream.url)
    try:
        yield made
    finally:
        if made.process is not None and made.process.poll() is None:
            made.process.kill()
            made.process.wait()
        if (made.root / "log").exists():
            print(made.log)  # noqa: T201 - pytest shows it of a test that failed


async def call(relay: Relay, body: dict[str, Any], path: str = CHAT, **headers: str) -> httpx.Response:
    given = {"x-prediction-id": "p-1", **headers}
    async with httpx.AsyncClient(timeout=180, verify=NO_AUTHORITIES) as client:
        return await client.post(relay.url + path, json=body, headers=given)


async def test_calls_reach_the_server_under_its_names_and_with_our_credential_alone(
    relay: Relay, upstream: Upstream
) -> None:
    relay.start()
    await relay.until_live()

    answer = await call(
        relay,
        {"model": "near@1", "messages": [], "tools": [{"a": 1.0}]},
        authorization="Bearer of-the-caller",
        cookie="c=1",
        **{"x-rollbook-key": "user-7", "traceparent": "00-1-2-01"},
    )
    relay.stop()

    assert answer.json()["choices"][0]["message"]["content"] == "Hello"
    assert "set-cookie" not in answer.headers
    seen = upstream.seen[0]
    assert seen["body"] == {"model": "far", "messages": [], "tools": [{"a": 1.0}]}
    assert seen["headers"]["authorization"] == f"Bearer {SECRET}"
    assert seen["headers"]["x-request-id"] == "p-1"
    assert seen["headers"]["traceparent"] == "00-1-2-01"
    assert not [name for name in seen["headers"] if name == "cookie" or name.startswith("x-rollbook")]
    (record,) = relay.recorded()
    assert (record.prediction_id, record.status, record.tokens_in, record.tokens_out) == ("p-1", 200, 3, 2)
    assert SECRET not in relay.log


async def test_a_stream_passes_as_it_comes_and_is_counted(relay: Relay, upstream: Upstream) -> None:
    assert upstream.url
    relay.start()
    await relay.until_live()

    answer = await call(relay, {"model": "near", "messages": [], "stream": True})
    relay.stop()

    assert answer.text.count("data: ") == 4
    assert "stream_options" not in upstream.seen[0]["body"]
    assert answer.text.endswith("data: [DONE]\n\n")
    (record,) = relay.recorded()
    assert (record.prediction, record.tokens_out) == ("Hello", 2)
    assert record.first_token_ms > 0


async def test_a_stream_that_breaks_off_breaks_off_for_the_caller_too(relay: Relay, upstream: Upstream) -> None:
    upstream.breaks_off = True
    relay.start()
    await relay.until_live()

    with pytest.raises(httpx.RemoteProtocolError):
        await call(relay, {"model": "near", "messages": [], "stream": True})
    relay.stop()

    (record,) = relay.recorded()
    assert record.finish_reason == "broken-off"


async def test_the_servers_refusal_of_our_credential_is_not_the_callers(relay: Relay, upstream: Upstream) -> None:
    upstream.key = "Bearer another"
    relay.start()
    await relay.until_live()

    answer = await call(relay, {"model": "near"})
    async with httpx.AsyncClient(timeout=180, verify=NO_AUTHORITIES) as client:
        health = await client.get(f"{relay.url}/health")

    assert answer.status_code == 502
    assert answer.json()["error"]["code"] == "external-engine-refuses"
    assert SECRET not in answer.text
    assert health.status_code == 502


async def test_a_server_that_is_away_is_said_to_be(relay: Relay) -> None:
    (relay.root / "model" / ARTIFACT_NAME).write_text(
        json.dumps({"protocol": "openai", "url": f"http://127.0.0.1:{free_port()}", "model": "far"})
    )
    relay.start()
    await relay.until_live()

    answer = await call(relay, {"model": "near"})

    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "external-engine-unreachable"
    assert answer.headers["x-rollbook-unanswered"] == "1"


async def test_a_body_that_is_no_json_is_refused_here(relay: Relay, upstream: Upstream) -> None:
    relay.start()
    await relay.until_live()

    async with httpx.AsyncClient(timeout=180, verify=NO_AUTHORITIES) as client:
        answer = await client.post(relay.url + CHAT, content=b"[1")

    assert answer.status_code == 400
    assert upstream.seen == []


async def test_a_missing_credential_ends_the_start_with_what_to_do(relay: Relay) -> None:
    (relay.root / "engines" / "prod").unlink()

    relay.start()

    assert relay.process is not None
    assert relay.process.wait(GUARD_S) == 78
    failure = find_failure(relay.spool)
    assert failure is not None
    assert failure.code == "credential-missing"
    assert "readable by this user alone" in failure.reason


async def test_an_address_that_is_not_granted_ends_the_start_with_what_to_grant(relay: Relay) -> None:
    relay.start(NETWORKS="10.0.0.0/8")

    assert relay.process is not None
    assert relay.process.wait(GUARD_S) == 78
    failure = find_failure(relay.spool)
    assert failure is not None
    assert failure.code == "address-not-granted"
    assert failure.reason.startswith("127.0.0.1 (loopback) is neither public nor granted; to allow it, start")
    assert failure.reason.endswith("ROLLBOOK_AGENT_EXTERNAL_NETWORKS=127.0.0.1")


async def test_the_proxy_of_the_environment_is_not_used(
    relay: Relay, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    relay.start()
    monkeypatch.undo()
    await relay.until_live()

    assert (await call(relay, {"model": "near"})).status_code == 200
    assert len(upstream.seen) == 1


async def test_tensors_are_relayed_and_captured_too(tmp_path: Path, upstream: Upstream) -> None:
    (tmp_path / "oip").mkdir()
    relay = Relay(tmp_path / "oip", upstream.url, protocol="oip")
    relay.start()
    try:
        await relay.until_live()

        tensor = {"name": "pixels", "datatype": "FP64", "shape": [1], "data": [1.5]}
        answer = await call(relay, {"inputs": [tensor]}, "/v2/models/near/versions/1/infer")
        async with httpx.AsyncClient(timeout=180, verify=NO_AUTHORITIES) as client:
            ready = await client.get(f"{relay.url}/v2/health/ready")
            identity = await client.get(f"{relay.url}/rollbook/instance")
        relay.stop()
    finally:
        assert relay.process is not None
        relay.process.kill()

    assert answer.json()["outputs"][0]["data"] == [7]
    assert [one["path"] for one in upstream.seen] == ["/base/v2/models/far/infer", "/base/v2/models/far/ready"]
    assert ready.status_code == 200
    assert (identity.json()["boot_id"], identity.json()["pid"]) == ("boot-1", relay.process.pid)
    (record,) = relay.recorded()
    assert (record.prediction, record.status) == ("7", 200)
    assert json.loads(record.inputs)["pixels"]["data"] == [1.5]


@pytest.mark.parametrize("protocol", ["openai", "oip"])
async def test_a_caller_that_leaves_ends_the_call_to_the_server(
    tmp_path: Path, upstream: Upstream, protocol: str
) -> None:
    (tmp_path / "left").mkdir()
    relay = Relay(tmp_path / "left", upstream.url, protocol=protocol)
    upstream.may_answer.clear()
    path = CHAT if protocol == "openai" else "/v2/models/near/infer"
    relay.start()
    try:
        await relay.until_live()
        calling = asyncio.create_task(call(relay, {"model": "near"}, path))
        await until(lambda: upstream.seen, why="the call at the server")
        calling.cancel()
        await until(lambda: upstream.left == 1, why="a server that is told")
        relay.stop()
    finally:
        assert relay.process is not None
        relay.process.kill()

    (record,) = relay.recorded()
    assert record.status == 499


async def test_a_server_whose_connections_are_all_at_work_is_well_and_the_next_caller_is_sent_on(
    relay: Relay, upstream: Upstream
) -> None:
    upstream.may_answer.clear()
    relay.start(CONNECTIONS="1")
    await relay.until_live()

    long = asyncio.create_task(call(relay, {"model": "near"}))
    await until(lambda: len(upstream.seen) == 1)
    async with httpx.AsyncClient(timeout=180, verify=NO_AUTHORITIES) as client:
        health = await client.get(f"{relay.url}/health")
    second = await call(relay, {"model": "near"})
    long.cancel()

    assert health.status_code == 200
    assert second.status_code == 503
    assert second.headers["x-rollbook-unanswered"] == "1"


async def test_nobody_asks_the_server_for_metrics(relay: Relay, upstream: Upstream) -> None:
    relay.start()
    await relay.until_live()

    async with httpx.AsyncClient(timeout=180, verify=NO_AUTHORITIES) as client:
        answer = await client.get(f"{relay.url}/metrics")

    assert answer.status_code == 404
    assert upstream.seen == []
