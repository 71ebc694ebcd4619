"""The gateway, as callers of endpoints ask it: with a token that is renewed in time."""

import time
from typing import Any

import httpx
import msgspec

from rollbook import _wire
from rollbook._async import operations
from rollbook._async.connection import AsyncConnection
from rollbook.errors import RollbookError

_TOKEN_LIVES_S = 1_800.0


class _Model(msgspec.Struct, frozen=True):
    inputs: list[dict[str, Any]]


class AsyncGateway:
    """Sends inference requests; its address is the control plane's word, unless one is given."""

    def __init__(
        self,
        health: operations.AsyncHealth,
        tokens: operations.AsyncInferenceTokens,
        *,
        url: str | None,
        timeout_s: float,
    ) -> None:
        """Prepare it; nothing is sent yet."""
        self._health = health
        self._tokens = tokens
        self._url = url
        self._timeout_s = timeout_s
        self._connection: AsyncConnection | None = None
        self._minted: dict[str, tuple[str, float]] = {}

    async def aclose(self) -> None:
        """Close the connections."""
        if self._connection is not None:
            await self._connection.aclose()

    async def model(self, endpoint: str) -> list[dict[str, Any]]:
        """Return what an endpoint's model takes: the name, data type and shape of each input.

        Raises:
            RollbookError: it does not answer, or has no tensors.
        """
        answer = await self.ask(endpoint, "GET", "/v2/models/{endpoint}")
        try:
            return msgspec.json.decode(answer.content, type=_Model).inputs
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RollbookError(f"{endpoint} has no tensors; ask it as a language model is asked: {error}") from error

    async def infer(self, endpoint: str, content: bytes, headers: dict[str, str]) -> httpx.Response:
        """Send one inference request, and again where the gateway says "not now".

        Raises:
            Problem: it is refused; `code` is the gateway's or the engine's.
            Unreachable: the gateway does not answer.
        """
        return await self.ask(endpoint, "POST", "/v2/models/{endpoint}/infer", content=content, headers=headers)

    async def ask(
        self,
        endpoint: str,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Send a request for an endpoint, and return an answer of success."""
        if self._connection is None:
            url = self._url or (await self._health.ready()).gateway_url
            self._connection = AsyncConnection(url, None, self._timeout_s)
        headers = {**(headers or {}), "authorization": f"Bearer {await self._token(endpoint)}"}
        return await self._connection.ask(method, _wire.path(path, endpoint=endpoint), content=content, headers=headers)

    async def _token(self, endpoint: str) -> str:
        token, until = self._minted.get(endpoint, ("", 0.0))
        if time.monotonic() < until:
            return token
        minted = await self._tokens.mint([endpoint])
        self._minted[endpoint] = (minted.token, time.monotonic() + _TOKEN_LIVES_S)
        return minted.token
