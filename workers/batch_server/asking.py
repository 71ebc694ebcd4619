"""Sends a batch's requests to the gateway like any caller, but patiently, and after everybody else."""

import asyncio
import random
import time
from datetime import datetime
from http import HTTPStatus
from typing import Protocol

import aiohttp
import msgspec

from workers.batch_server.control_plane import TokenAnswer
from workers.batch_server.errors import PartAwayError, RefusedError
from workers.batch_server.places import Place
from workers.batch_server.stop import Stop
from workers.batch_server.wire import LineError, LineResponse

_FIRST_PAUSE_S, _MAX_PAUSE_S = 0.1, 10.0
_MAX_WAIT_S = 60.0
_RENEWED_BEFORE_S = 60.0
_MAX_ANSWER_BYTES = 32 * 1024 * 1024
_MAX_FAILURES = 5
_MAX_REFUSALS = 3
_LATER = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_PERHAPS_LATER = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
_REFUSED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_HEADERS = {"content-type": "application/json", "x-rollbook-priority": "batch"}


class Plane(Protocol):
    """What sending requests needs from the control plane."""

    async def token(self, batch_id: str) -> TokenAnswer: ...


class Bearer:
    """A batch's token for the gateway, renewed in time and kept in memory only."""

    def __init__(self, plane: Plane, batch_id: str) -> None:
        self._plane = plane
        self._batch_id = batch_id
        self._minting = asyncio.Lock()
        self._token, self._good_until = "", 0.0

    async def token(self) -> str:
        """Return a token that is valid for a while.

        Raises:
            PartAwayError: none can be minted now.
            RefusedError: nobody may act for the batch's owner.
        """
        async with self._minting:
            if time.time() > self._good_until - _RENEWED_BEFORE_S:
                minted = await self._plane.token(self._batch_id)
                self._token = minted.token
                self._good_until = datetime.fromisoformat(minted.expires_at).timestamp()
            return self._token

    def forget(self, token: str) -> None:
        """Have another one minted, because the gateway rejected this one, which may have been revoked."""
        if token == self._token:
            self._good_until = 0.0


class _Pause(Exception):
    """Not now: `wait_s` was requested, and a failure may only happen a few times."""

    def __init__(self, *, wait_s: float = 0.0, failure: LineResponse | LineError | None = None) -> None:
        super().__init__()
        self.wait_s = wait_s
        self.failure = failure


class Gateway:
    """Sends requests to the gateway."""

    def __init__(self, url: str, session: aiohttp.ClientSession, *, request_s: float) -> None:
        self._url = url.rstrip("/")
        self._session = session
        self._timeout = aiohttp.ClientTimeout(total=request_s, connect=5.0)
        self.asked = 0
        self.retried = 0

    async def ask(
        self, path: str, body: bytes, *, bearer: Bearer, stop: Stop, place: Place
    ) -> LineResponse | LineError | None:
        """Return the answer, or why there is none, or None if it is stopped first.

        The place is held during a request, and given to others in between.
        """
        pause_s, failures, refusals = _FIRST_PAUSE_S, 0, 0
        while not stop.is_set:
            token = ""
            try:
                token = await bearer.token()
                answer = await self._post(path, body, token)
            except RefusedError as error:
                return LineError(code=error.code, message=str(error))
            except PartAwayError:
                wait_s = 0.0
            except _Pause as pause:
                wait_s = pause.wait_s
                failures += pause.failure is not None
                if pause.failure is not None and failures >= _MAX_FAILURES:
                    return pause.failure
            else:
                if answer.status_code not in _REFUSED:
                    return answer
                refusals += 1
                if refusals >= _MAX_REFUSALS:
                    return answer
                bearer.forget(token)
                wait_s = 0.0
            self.retried += 1
            # Requests that were rejected together must not come back together.
            wait_s = min(max(wait_s, pause_s), _MAX_WAIT_S) * random.uniform(0.75, 1.25)  # noqa: S311
            await place.wait(wait_s, stop, size=len(body))
            pause_s = min(pause_s * 2, _MAX_PAUSE_S)
        return None

    async def _post(self, path: str, body: bytes, token: str) -> LineResponse:
        headers = {**_HEADERS, "authorization": f"Bearer {token}"}
        self.asked += 1
        try:
            async with self._session.post(
                self._url + path, data=body, headers=headers, timeout=self._timeout, allow_redirects=False
            ) as answer:
                content = await _read(answer)
                if answer.status in _LATER:
                    raise _Pause(wait_s=_retry_after_s(answer))
        except aiohttp.ConnectionTimeoutError as error:
            raise _Pause from error
        except TimeoutError as error:
            message = f"the model did not answer within {self._timeout.total:g} s; send smaller requests"
            raise _Pause(failure=LineError(code="request_timeout", message=message)) from error
        except aiohttp.ClientError as error:
            raise _Pause from error
        prediction_id = answer.headers.get("x-prediction-id", "")
        response = LineResponse(status_code=answer.status, request_id=prediction_id, body=_as_json(content))
        if answer.status in _PERHAPS_LATER:
            raise _Pause(failure=response)
        return response


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    pieces, size = [], 0
    async for piece in answer.content.iter_chunked(65_536):
        pieces.append(piece)
        size += len(piece)
        if size > _MAX_ANSWER_BYTES:
            message = f"the answer is larger than {_MAX_ANSWER_BYTES} bytes; send smaller requests"
            raise _Pause(failure=LineError(code="answer_too_large", message=message))
    return b"".join(pieces)


def _as_json(content: bytes) -> msgspec.Raw:
    """Write an answer on one line; anything but JSON becomes a string."""
    try:
        content.decode("utf-8")
        return msgspec.Raw(msgspec.json.format(content, indent=-1))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return msgspec.Raw(msgspec.json.encode(content.decode("utf-8", errors="replace")))


def _retry_after_s(answer: aiohttp.ClientResponse) -> float:
    try:
        return max(0.0, float(answer.headers.get("retry-after", "0")))
    except ValueError:
        return 0.0
