"""An adapter inside a running engine of its parent: loaded under the instance's id, watched, and finally unloaded."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from pathlib import Path

import aiohttp
import msgspec
import structlog

from infra.errors import CannotStartError

_READY_PAUSE_S = 0.25
_LOOK_EVERY_S = 1.0
_MAX_MISSES = 5
_TIMEOUT = aiohttp.ClientTimeout(total=4)
_LOAD_TIMEOUT = aiohttp.ClientTimeout(total=300)
_GONE = "the engine of the adapter's parent has ended"

_log = structlog.get_logger(__name__)


class ParentEngine(msgspec.Struct, frozen=True, kw_only=True):
    """The engine that runs the weights that the adapter modifies: an instance on this host."""

    host: str
    port: int
    boot_id: str

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


class AdapterRefusedError(CannotStartError):
    """The engine does not accept the adapter; trying again fails the same way."""


class _Identity(msgspec.Struct, frozen=True):
    boot_id: str


@asynccontextmanager
async def loaded_adapter(
    parent: ParentEngine, *, name: str, folder: Path, session: aiohttp.ClientSession, when_gone: Callable[[], None]
) -> AsyncIterator[None]:
    """Load the adapter into the engine; call `when_gone` once that engine is gone or was replaced.

    Raises:
        AdapterRefusedError: the engine rejects it.
        CannotStartError: the engine has ended meanwhile.
    """
    engine = _Engine(parent, session)
    await engine.until_ready()
    # An earlier process may have left a half-loaded adapter under this name.
    await engine.unload(name)
    await engine.load(name, folder)
    _log.info("adapter_loaded", name=name, parent_port=parent.port)
    watching = asyncio.create_task(engine.watch(when_gone))
    try:
        yield
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        await engine.unload(name)


class _Engine:
    def __init__(self, parent: ParentEngine, session: aiohttp.ClientSession) -> None:
        self._parent = parent
        self._session = session

    async def until_ready(self) -> None:
        """Wait for an engine that is still starting; the process that started this one decides how long."""
        while not await self._is_ready():
            if await self._is_other():
                raise CannotStartError(_GONE)
            await asyncio.sleep(_READY_PAUSE_S)

    async def load(self, name: str, folder: Path) -> None:
        """Load the adapter."""
        body = {"lora_name": name, "lora_path": str(folder)}
        try:
            status, text = await self._post("/v1/load_lora_adapter", body)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise CannotStartError(f"the engine of the adapter's parent did not answer: {error!r}") from error
        if status == HTTPStatus.NOT_FOUND and "lora" not in text.lower():
            raise AdapterRefusedError("the engine of the adapter's parent was started without room for adapters")
        if status != HTTPStatus.OK:
            raise AdapterRefusedError(f"the engine of the adapter's parent answered {status}: {text[:500]}")

    async def unload(self, name: str) -> None:
        """Unload the adapter; a missing adapter or engine is not an error."""
        try:
            status, text = await self._post("/v1/unload_lora_adapter", {"lora_name": name})
        except (aiohttp.ClientError, TimeoutError) as error:
            _log.warning("adapter_not_unloaded", name=name, reason=repr(error))
            return
        if status == HTTPStatus.OK:
            _log.info("adapter_unloaded", name=name)
        elif status != HTTPStatus.NOT_FOUND:
            _log.warning("adapter_not_unloaded", name=name, reason=text[:500])

    async def watch(self, when_gone: Callable[[], None]) -> None:
        """Watch the engine until it is gone."""
        misses = 0
        while misses < _MAX_MISSES:
            await asyncio.sleep(_LOOK_EVERY_S)
            boot_id = await self._boot_id()
            if boot_id not in (None, self._parent.boot_id):
                break
            misses = misses + 1 if boot_id is None else 0
        _log.error("parent_engine_gone", port=self._parent.port)
        when_gone()

    async def _is_ready(self) -> bool:
        try:
            async with self._session.get(f"{self._parent.url}/health", timeout=_TIMEOUT) as answer:
                return answer.status == HTTPStatus.OK and await self._boot_id() == self._parent.boot_id
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def _is_other(self) -> bool:
        return await self._boot_id() not in (None, self._parent.boot_id)

    async def _boot_id(self) -> str | None:
        try:
            async with self._session.get(f"{self._parent.url}/rollbook/instance", timeout=_TIMEOUT) as answer:
                return msgspec.json.decode(await answer.read(), type=_Identity).boot_id
        except (aiohttp.ClientError, TimeoutError, msgspec.DecodeError):
            return None

    async def _post(self, path: str, body: dict[str, str]) -> tuple[int, str]:
        async with self._session.post(self._parent.url + path, json=body, timeout=_LOAD_TIMEOUT) as answer:
            return answer.status, await answer.text()
