"""No connection leaves for an address that is neither public nor granted, however a description names it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import httpx
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from infra.addresses import read_networks
from infra.errors import AddressNotGrantedError
from infra.granted_connections import GrantedConnections
from schemas.external_engine import ExternalEngine
from serving.external.relay import Relay

GRANTED, NOT_GRANTED = "127.0.0.1", "127.0.0.2"
SPELLINGS = (
    GRANTED,
    "localhost",
    "LocalHost",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[64:ff9b::127.0.0.1]",
    "2130706433",
    "0x7f.1",
    "0x7f000001",
    "127.1",
    "0177.0.0.1",
    "0",
    "①②⑦.⓪.⓪.①",
    "169.254.169.254",
)


class Server:
    """Listens at two addresses, one of which is granted, and tells at which it was asked."""

    def __init__(self) -> None:
        self.port = 0
        self.asked_at: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        self.asked_at.append(request.transport.get_extra_info("sockname")[0])
        answer = web.json_response({"choices": []})
        # The next call must connect again.
        answer.force_close()
        return answer


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    found = Server()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", found.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, GRANTED, 0).start()
    found.port = runner.addresses[0][1]
    await web.TCPSite(runner, NOT_GRANTED, found.port).start()
    yield found
    await runner.cleanup()


class Names(AbstractResolver):
    """The names of a zone that somebody else may change at any moment."""

    def __init__(self) -> None:
        self.of = {"models.example": [GRANTED]}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in self.of[host]
        ]

    async def close(self) -> None:
        """Nothing is held."""


@pytest.fixture
def names() -> Names:
    return Names()


@pytest.fixture
async def connections(names: Names) -> GrantedConnections:
    return GrantedConnections(read_networks(f"{GRANTED}/32"), names=names)


@pytest.fixture
async def session(connections: GrantedConnections) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=connections.connector(limit=4)) as session:
        yield session


@pytest.fixture
async def caller(server: Server, session: aiohttp.ClientSession) -> AsyncIterator[httpx.AsyncClient]:
    """Call a relay for the server at its name."""
    engine = ExternalEngine(protocol="openai", url=f"http://models.example:{server.port}", model="far")
    relay: Any = Relay(engine, credential=None, session=session, probes=session)
    transport = httpx.ASGITransport(app=relay)
    async with httpx.AsyncClient(transport=transport, base_url="http://relay", timeout=180) as client:
        yield client


@pytest.mark.parametrize("host", SPELLINGS)
async def test_no_spelling_of_an_address_gets_past_the_check(server: Server, host: str) -> None:
    connections = GrantedConnections(read_networks("10.0.0.0/8"))
    url = f"http://{host}:{server.port}"

    with pytest.raises(AddressNotGrantedError) as refusal:
        await connections.check(url)
    async with aiohttp.ClientSession(connector=connections.connector(limit=4)) as session:
        with pytest.raises(aiohttp.ClientError):
            await session.get(url)

    assert server.asked_at == []
    assert refusal.value.addresses


@pytest.mark.parametrize("host", [GRANTED, "localhost", "[::ffff:127.0.0.1]"])
async def test_what_is_granted_is_reached(server: Server, host: str) -> None:
    connections = GrantedConnections(read_networks("127.0.0.0/8"))
    url = f"http://{host}:{server.port}"

    await connections.check(url)
    async with aiohttp.ClientSession(connector=connections.connector(limit=4)) as session, session.get(url) as answer:
        status = answer.status

    assert (status, server.asked_at) == (200, [GRANTED])


@pytest.mark.parametrize("url", ["http://nowhere.invalid", r"http://a\b"])
async def test_a_url_that_leads_nowhere_is_not_refused_for_its_address(url: str) -> None:
    await GrantedConnections(read_networks("10.0.0.0/8")).check(url)


async def test_a_name_that_changes_its_address_after_the_look_is_refused(
    server: Server, names: Names, connections: GrantedConnections, caller: httpx.AsyncClient
) -> None:
    await connections.check(f"http://models.example:{server.port}")
    names.of["models.example"] = [NOT_GRANTED]

    answer = await caller.post("/v1/completions", json={"model": "near"})
    health = await caller.get("/health")

    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "external-engine-address-not-granted"
    assert answer.headers["x-rollbook-unanswered"] == "1"
    assert NOT_GRANTED not in answer.text
    assert (health.status_code, health.json()["error"]["code"]) == (503, "external-engine-address-not-granted")
    assert f"models.example is at {NOT_GRANTED} (loopback)" in health.text
    assert f"ROLLBOOK_AGENT_EXTERNAL_NETWORKS={NOT_GRANTED}" in health.text
    assert server.asked_at == []


async def test_a_name_that_changes_back_is_served_again(
    server: Server, names: Names, caller: httpx.AsyncClient
) -> None:
    names.of["models.example"] = [NOT_GRANTED]
    refused = await caller.post("/v1/completions", json={"model": "near"})

    names.of["models.example"] = [GRANTED]
    served = await caller.post("/v1/completions", json={"model": "near"})

    assert (refused.status_code, served.status_code) == (503, 200)
    assert server.asked_at == [GRANTED]


async def test_of_several_addresses_those_that_are_granted_are_used(
    server: Server, names: Names, session: aiohttp.ClientSession
) -> None:
    names.of["models.example"] = ["10.1.2.3", NOT_GRANTED, GRANTED, "::1"]

    answers = await asyncio.gather(*(session.get(f"http://models.example:{server.port}") for _ in range(4)))

    assert {answer.status for answer in answers} == {200}
    assert set(server.asked_at) == {GRANTED}
