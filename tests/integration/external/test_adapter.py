"""How an adapter comes into an engine and out again, before a small server that answers as vLLM does.

The real one is in tests/extras/test_adapters.py; here are the moments at which an engine is not as it should be.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from infra.errors import CannotStartError
from serving.external.adapter import AdapterRefusedError, ParentEngine, loaded_adapter
from tests.support.gateway import GUARD_S, until

FOLDER = Path("/models/capitals")
NO_ROUTE = {"detail": "Not Found"}


class Engine:
    """What the parent's engine holds, and which boot it is."""

    def __init__(self) -> None:
        self.boot_id = "boot-1"
        self.loaded: dict[str, str] = {"instance-1": "left by a process before"}
        self.calls: list[str] = []
        self.refusal: tuple[int, dict[str, object]] | None = None
        self.is_ready = True
        self.looks = 0
        self.port = 0

    @property
    def parent(self) -> ParentEngine:
        return ParentEngine(host="127.0.0.1", port=self.port, boot_id="boot-1")

    async def health(self, _: web.Request) -> web.Response:
        self.looks += 1
        return web.Response(status=200 if self.is_ready else 503)

    async def identity(self, _: web.Request) -> web.Response:
        return web.json_response({"boot_id": self.boot_id})

    async def change(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.calls.append(request.path.rpartition("/")[2].partition("_")[0])
        if request.path.endswith("/unload_lora_adapter"):
            is_known = self.loaded.pop(body["lora_name"], None)
            return web.Response(status=200 if is_known else 404)
        if self.refusal:
            status, document = self.refusal
            return web.json_response(document, status=status)
        self.loaded[body["lora_name"]] = body["lora_path"]
        return web.Response()


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    engine = Engine()
    application = web.Application()
    application.router.add_get("/health", engine.health)
    application.router.add_get("/rollbook/instance", engine.identity)
    application.router.add_post("/v1/{change:(un)?load_lora_adapter}", engine.change)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    engine.port = runner.addresses[0][1]
    yield engine
    await runner.cleanup()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def test_an_adapter_is_in_the_engine_for_as_long_as_it_is_wanted(
    engine: Engine, session: aiohttp.ClientSession
) -> None:
    gone = asyncio.Event()

    async with loaded_adapter(engine.parent, name="instance-1", folder=FOLDER, session=session, when_gone=gone.set):
        assert engine.loaded == {"instance-1": str(FOLDER)}

    assert engine.loaded == {}
    assert engine.calls == ["unload", "load", "unload"]
    assert not gone.is_set()


@pytest.mark.parametrize(
    ("status", "document", "reason"),
    [
        (400, {"error": {"message": "LoRA rank 64 is greater than max_lora_rank 16."}}, "LoRA rank 64"),
        (404, {"error": {"message": "Loading lora x failed: No adapter found"}}, "No adapter found"),
        (404, NO_ROUTE, "without room for adapters"),
    ],
)
async def test_what_the_engine_refuses_is_told_in_its_words(
    engine: Engine, session: aiohttp.ClientSession, status: int, document: dict[str, object], reason: str
) -> None:
    engine.refusal = (status, document)

    with pytest.raises(AdapterRefusedError, match=reason):
        async with loaded_adapter(engine.parent, name="x", folder=FOLDER, session=session, when_gone=lambda: None):
            pass


async def test_an_adapter_waits_for_an_engine_that_starts(engine: Engine, session: aiohttp.ClientSession) -> None:
    engine.is_ready = False
    adapter = loaded_adapter(engine.parent, name="x", folder=FOLDER, session=session, when_gone=lambda: None)
    entering = asyncio.create_task(adapter.__aenter__())
    await until(lambda: engine.looks >= 3, why="an adapter that looks again and again")
    assert not entering.done()
    assert engine.calls == []

    engine.is_ready = True
    await asyncio.wait_for(entering, GUARD_S)

    assert "x" in engine.loaded
    await adapter.__aexit__(None, None, None)


async def test_an_engine_of_another_boot_is_not_waited_for(engine: Engine, session: aiohttp.ClientSession) -> None:
    engine.boot_id = "boot-2"

    with pytest.raises(CannotStartError, match="has ended"):
        async with loaded_adapter(engine.parent, name="x", folder=FOLDER, session=session, when_gone=lambda: None):
            pass

    assert engine.calls == []


async def test_when_the_engine_is_another_boot_the_adapter_is_gone(
    engine: Engine, session: aiohttp.ClientSession
) -> None:
    gone = asyncio.Event()

    async with loaded_adapter(engine.parent, name="x", folder=FOLDER, session=session, when_gone=gone.set):
        engine.boot_id = "boot-2"
        await asyncio.wait_for(gone.wait(), GUARD_S)
