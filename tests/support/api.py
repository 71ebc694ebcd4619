"""The real API in this process: real HTTP, real SQLite, with Kafka and ClickHouse away."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import msgspec
import uvicorn
from litestar.types import ASGIApp

from control_plane.bootstrap import Api, open_api
from control_plane.event_store.log_file import open_log_file
from control_plane.settings import ApiSettings
from infra.kafka.connection import KafkaConnection
from infra.ports import free_port, free_ports
from tests.support.declared import Declared
from tests.support.digits import SIGNATURE, served
from tests.support.plain_http import NO_AUTHORITIES

LOOPBACK = "127.0.0.1"
ANY_PROGRAM = {"kind": "service", "name": "stack", "role": "service"}
_declared: dict[str, Declared] = {}


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """What `RunningApi.stage` made; the model and the endpoint are called digits."""

    digest: str
    model_id: str
    version_id: str
    endpoint_id: str
    deployment_id: str
    instance_id: str


class RunningApi(msgspec.Struct, frozen=True, kw_only=True):
    """Where the API answers, and the clients that the tests use: `admin` and `service` carry the first tokens."""

    url: str
    data_dir: Path
    application: ASGIApp
    drain: Callable[[], None]
    admin_token: str
    admin: httpx.AsyncClient
    service: httpx.AsyncClient
    nobody: httpx.AsyncClient

    def client(self, token: str) -> httpx.AsyncClient:
        """Make a client with another token; the caller closes it."""
        return _client(self.url, token)

    async def documents(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return what the relay would publish by now: the documents of a kind, by id."""
        with open_log_file(self.data_dir / "events" / "registry.sqlite") as log:
            stored = await log.documents(after=(0, ""), up_to=await log.head(), limit=10_000)
        return {each.id: json.loads(each.body) for each in stored if each.kind == kind and not each.is_removed}

    async def stage(self) -> "Stage":
        """Register two versions of digits, and let an endpoint serve the first by one instance."""
        digits = served("skops")
        digest = digits.artifact.digest
        await done(self.admin.post("/v1/models", json={"name": "digits"}))
        await done(self.admin.put(f"/v1/artifacts/{digest}", content=digits.content))
        version = {"artifact": {"digest": digest, "format": "skops"}, "signature": msgspec.to_builtins(SIGNATURE)}
        versions = [await done(self.admin.post("/v1/models/digits/versions", json=version)) for _ in range(2)]
        endpoint = await done(self.admin.post("/v1/endpoints", json={"name": "digits", "version": "digits/1"}))
        instance = await done(
            self.service.post(
                "/v1/instances",
                json={
                    "endpoint_id": endpoint["id"],
                    "deployment_id": endpoint["deployments"][0]["id"],
                    **dict.fromkeys(("agent_id", "boot_id", "host", "region", "zone"), "one"),
                    "port": 9_000,
                },
            )
        )
        return Stage(
            digest=digest,
            model_id=versions[0]["model_id"],
            version_id=versions[0]["id"],
            endpoint_id=endpoint["id"],
            deployment_id=endpoint["deployments"][0]["id"],
            instance_id=instance["id"],
        )

    async def head(self) -> int:
        """Return the last position of the log."""
        answer = await self.admin.get("/v1/events", params={"after": 0, "limit": 1})
        return int(answer.json()["head"])


async def done(request: Awaitable[httpx.Response]) -> dict[str, Any]:
    """Return the answer of a request that must succeed."""
    answer = await request
    assert answer.is_success, answer.text
    return cast("dict[str, Any]", answer.json())


def settings_for(data_dir: Path, **overrides: object) -> ApiSettings:
    """Return settings whose Kafka and ClickHouse are nowhere, and which let the tests send as fast as they can."""
    kafka, clickhouse = free_ports(2)
    return msgspec.structs.replace(
        ApiSettings(
            host=LOOPBACK,
            port=free_port(),
            data_dir=data_dir,
            kafka=KafkaConnection(bootstrap=f"{LOOPBACK}:{kafka}"),
            clickhouse_url=f"http://{LOOPBACK}:{clickhouse}",
            requests_per_second_each=0,
        ),
        **overrides,
    )


async def _service_token(url: str, secrets: Path) -> str:
    """Return the token of a service that may do what any program of ours does, as those of an earlier release do."""
    path = secrets / "service.token"
    if not path.exists():
        async with _client(url, (secrets / "admin.token").read_text()) as admin:
            path.write_text((await done(admin.post("/v1/principals", json=ANY_PROGRAM)))["token"])
    return path.read_text()


@asynccontextmanager
async def running_api(data_dir: Path, **overrides: object) -> AsyncIterator[RunningApi]:
    """Serve the API on a free port until the block is left."""
    settings = settings_for(data_dir, **overrides)
    async with open_api(settings) as api, _served(api, settings) as url:
        await _hold_to_its_word(url)
        secrets = data_dir / "secrets"
        tokens = [(secrets / "admin.token").read_text(), await _service_token(url, secrets)]
        async with _client(url, tokens[0]) as admin, _client(url, tokens[1]) as service, _client(url, None) as nobody:
            yield RunningApi(
                url=url,
                data_dir=data_dir,
                application=api.application,
                drain=api.drain,
                admin_token=tokens[0],
                admin=admin,
                service=service,
                nobody=nobody,
            )


@asynccontextmanager
async def _served(api: Api, settings: ApiSettings) -> AsyncIterator[str]:
    config = uvicorn.Config(
        api.application,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve())  # noqa: SLF001  serve() would take over the signals
    try:
        async with asyncio.timeout(60):
            while not server.started:
                await asyncio.sleep(0.01)
        yield f"http://{settings.host}:{settings.port}"
    finally:
        api.drain()
        server.should_exit = True
        await serving


async def _hold_to_its_word(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=180, verify=NO_AUTHORITIES) as client:
        _declared[url] = Declared((await client.get("/openapi")).json())


def _client(url: str, token: str | None) -> httpx.AsyncClient:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    hooks = {"response": [_declared[url].check]}
    return httpx.AsyncClient(base_url=url, headers=headers, timeout=180, event_hooks=hooks, verify=NO_AUTHORITIES)
