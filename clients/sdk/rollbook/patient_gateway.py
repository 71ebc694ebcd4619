"""One endpoint behind its gateway, as a job of many calls asks it: patiently, with a token that is renewed in time."""

import asyncio
import random
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import httpx
import msgspec

from rollbook import _sendable, _wire
from rollbook.errors import GaveUp

_TIMEOUT = httpx.Timeout(120.0, connect=5.0)
_TOKEN_LIVES_S = 1_800.0
_FIRST_PAUSE_S = 0.05
_MAX_PAUSE_S = 5.0
_LATER = frozenset({429, 502, 503, 504})
_REASON = "x-rollbook-reason"


class Refused(Exception):
    """The model does not take this call, or fails on it."""


class TooLarge(Exception):
    """The gateway takes no body of this size."""


class PatientGateway:
    """The gateway for one endpoint's calls. `mint` makes an inference token, whenever one is needed.

    `then` is what to do once it has given up, as part of that error.

    Raises:
        RollbookError: the gateway's address is none.
    """

    def __init__(
        self, gateway: str, endpoint: str, *, mint: Callable[[], str], give_up_after_s: float, then: str = ""
    ) -> None:
        self._then = then
        self._endpoint = endpoint
        self._client = httpx.AsyncClient(
            base_url=_sendable.url(gateway), timeout=_TIMEOUT, verify=_wire.authorities_for(gateway)
        )
        self._mint = mint
        self._minting = asyncio.Lock()
        self._token: tuple[str, float] | None = None
        self._give_up_after_s = give_up_after_s
        self._answered_at = time.monotonic()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def ask(self, method: str, path: str, **request: Any) -> httpx.Response:  # noqa: ANN401  httpx's own
        """Return an answer of success, as long as that takes within the limit.

        Raises:
            Refused: asking again would not help.
            TooLarge: less at a time has to be sent.
            GaveUp: nothing was answered for as long as is waited, or everything is refused.
        """
        own = request.pop("headers", {})
        pause_s = _FIRST_PAUSE_S
        while True:
            headers = {**own, "authorization": f"Bearer {await self._bearer()}"}
            try:
                answer = await self._client.request(method, path, headers=headers, **request)
            except httpx.TransportError as error:
                why, wait_s = f"it does not answer ({error!r})", 0.0
            else:
                if answer.is_success:
                    self._answered_at = time.monotonic()
                    return answer
                why, wait_s = self._read_refusal(answer), _retry_after_s(answer)
            if time.monotonic() - self._answered_at > self._give_up_after_s:
                raise GaveUp(
                    f"{self._endpoint}: {why}, for {self._give_up_after_s:g} s{self._then and f'; {self._then}'}"
                )
            # Callers that were refused together shall not come back together.
            await asyncio.sleep(max(wait_s, pause_s) * random.uniform(0.5, 1.0))  # noqa: S311  guards nothing
            pause_s = min(pause_s * 2, _MAX_PAUSE_S)

    def _read_refusal(self, answer: httpx.Response) -> str:
        """Return why to try again later, or raise where that can't help."""
        said = _said(answer)
        if answer.status_code in _LATER:
            return f"it says {answer.status_code} {said}"
        if answer.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            raise TooLarge(said)
        if answer.status_code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}:
            raise GaveUp(f"{self._endpoint}: {answer.status_code} {said}")
        raise Refused(said)

    async def _bearer(self) -> str:
        async with self._minting:
            if self._token is None or time.monotonic() > self._token[1]:
                self._token = (await asyncio.to_thread(self._mint), time.monotonic() + _TOKEN_LIVES_S)
            return self._token[0]


def _said(answer: httpx.Response) -> str:
    try:
        error = msgspec.json.decode(answer.content, type=dict[str, Any]).get("error", "")
    except (msgspec.DecodeError, UnicodeDecodeError):
        error = answer.text[:200]
    # Errors of OpenAI's API are objects.
    said = error.get("message", error) if isinstance(error, dict) else error
    return str(said) or answer.headers.get(_REASON, "")


def _retry_after_s(answer: httpx.Response) -> float:
    try:
        return max(0.0, float(answer.headers.get("retry-after", "0")))
    except ValueError:
        return 0.0
