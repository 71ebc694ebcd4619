"""An endpoint behind its gateway, as a batch job asks it: patiently, and with a token that is renewed in time."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from rollbook import _sendable
from rollbook.batch.errors import BadInput, GaveUp
from rollbook.batch.tensors import Array, TensorSpec
from rollbook.batch.wire import HEADER_LENGTH, UnreadableAnswer, outputs_of, request_of

_TIMEOUT = httpx.Timeout(120.0, connect=5.0)
_TOKEN_LIVES_S = 1_800.0
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 5.0
_LATER = frozenset({429, 502, 503, 504})
_REASON = "x-rollbook-reason"


class RowsRefused(Exception):
    """The model does not take these rows, or fails on them."""


class TooManyRows(Exception):
    """The gateway takes no body of this size."""


class Scored(msgspec.Struct, frozen=True):
    """The outputs for some rows, and who gave them."""

    outputs: dict[str, Array]
    version: str
    prediction_id: str
    took_s: float


class _Metadata(msgspec.Struct, frozen=True):
    inputs: list[TensorSpec]


class ScoredEndpoint:
    """One endpoint. `mint` makes an inference token, whenever one is needed.

    Raises:
        BadInput: no endpoint can have this name.
        RollbookError: the gateway's address is none.
    """

    def __init__(self, gateway: str, endpoint: str, *, mint: Callable[[], str], give_up_after_s: float) -> None:
        if not (endpoint.isascii() and endpoint.isprintable()):
            # No endpoint has such a name, and no header carries it.
            raise BadInput(f"{endpoint!r} is not the name of an endpoint; see `rollbook endpoint list`")
        self._name = endpoint
        self._path = f"/v2/models/{quote(endpoint, safe='')}"
        self._client = httpx.AsyncClient(base_url=_sendable.url(gateway), timeout=_TIMEOUT)
        self._mint = mint
        self._minting = asyncio.Lock()
        self._token: tuple[str, float] | None = None
        self._give_up_after_s = give_up_after_s
        self._answered_at = time.monotonic()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def inputs(self) -> list[TensorSpec]:
        """Return what the model takes.

        Raises:
            BadInput: the endpoint has no model with tensors.
            GaveUp: it does not answer, or refuses.
        """
        answer = await self._asked("GET", self._path)
        try:
            return msgspec.json.decode(answer.content, type=_Metadata).inputs
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadInput(f"{self._name} has no tensors of the Open Inference Protocol: {error}") from error

    async def score(self, tensors: Mapping[str, Array], specs: Sequence[TensorSpec], *, rows: int) -> Scored:
        """Have rows scored, as long as that takes within the limit.

        Raises:
            RowsRefused: some of the rows are at fault.
            TooManyRows: fewer at a time have to be sent.
            GaveUp: the endpoint does not answer, or refuses everything.
        """
        body, headers = request_of(tensors, specs)
        headers |= {"x-rollbook-endpoint": self._name, "x-rollbook-priority": "batch"}
        began = time.monotonic()
        answer = await self._asked("POST", f"{self._path}/infer", content=body, headers=headers)
        length = answer.headers.get(HEADER_LENGTH)
        try:
            outputs = outputs_of(answer.content, json_bytes=int(length) if length else None, rows=rows)
        except UnreadableAnswer as error:
            raise RowsRefused(str(error)) from error
        return Scored(
            outputs,
            answer.headers.get("x-rollbook-version", ""),
            answer.headers.get("x-prediction-id", ""),
            time.monotonic() - began,
        )

    async def _asked(self, method: str, path: str, **request: Any) -> httpx.Response:  # noqa: ANN401  httpx's own
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
                raise GaveUp(f"{self._name}: {why}, for {self._give_up_after_s:g} s; the same command goes on later")
            # Callers that were refused together shall not come back together.
            await asyncio.sleep(max(wait_s, pause_s) * random.uniform(0.5, 1.0))  # noqa: S311  guards nothing
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    def _read_refusal(self, answer: httpx.Response) -> str:
        """Return why to try again later, or raise where that can't help."""
        said = _said(answer)
        if answer.status_code in _LATER:
            return f"it says {answer.status_code} {said}"
        if answer.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            raise TooManyRows(said)
        if answer.status_code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}:
            raise GaveUp(f"{self._name}: {answer.status_code} {said}")
        raise RowsRefused(said)

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
    return str(error) or answer.headers.get(_REASON, "")


def _retry_after_s(answer: httpx.Response) -> float:
    try:
        return max(0.0, float(answer.headers.get("retry-after", "0")))
    except ValueError:
        return 0.0
