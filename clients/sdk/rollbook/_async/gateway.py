"""The gateway, as callers of endpoints ask it: with a token that is renewed in time."""

import time
from typing import Any

import httpx
import msgspec

from rollbook import _wire
from rollbook._async import operations
from rollbook._async.connection import AsyncConnection
from rollbook.errors import Denied, RollbookError

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
        self._preparing = _wire.async_lock()
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
        path = _wire.path(path, endpoint=endpoint)
        connection, bearer = await self._prepared(endpoint)
        try:
            return await connection.ask(method, path, content=content, headers={**(headers or {}), **bearer})
        except Denied:
            # The signing key may have changed since the token was minted, or the token was revoked.
            self._minted.pop(endpoint, None)
        connection, bearer = await self._prepared(endpoint)
        return await connection.ask(method, path, content=content, headers={**(headers or {}), **bearer})

    async def _prepared(self, endpoint: str) -> tuple[AsyncConnection, dict[str, str]]:
        """Return the connection and the header with the token, both made once, whoever asks at the same time."""
        async with self._preparing:
            if self._connection is None:
                url = self._url or (await self._health.ready()).gateway_url
                self._connection = AsyncConnection(url, None, self._timeout_s)
            token, until = self._minted.get(endpoint, ("", 0.0))
            if time.monotonic() >= until:
                token = (await self._tokens.mint([endpoint])).token
                self._minted[endpoint] = (token, time.monotonic() + _TOKEN_LIVES_S)
            return self._connection, {"authorization": f"Bearer {token}"}
