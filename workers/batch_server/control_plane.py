"""The batch server's calls to the control plane, each with a timeout."""

from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from infra.service_client import ServiceClient
from schemas.events.batches import BatchFile, BatchProblem
from workers.batch_server.errors import PartAwayError, RefusedError

_TIMEOUT = httpx.Timeout(5.0, connect=1.0)
_PAGE = 1_000
# They are about our own token, or about the moment, and not about the batch.
_NOT_OF_THE_CALL = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
_ERASED = "access.PrincipalErased.v1"
Answer = TypeVar("Answer")


class BatchAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What the batch server reads of the control plane's record of a batch."""

    id: str
    phase: str
    expires_at: str


class TokenAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A token on behalf of a batch's owner."""

    token: str
    expires_at: str


class _Problem(msgspec.Struct, frozen=True):
    detail: str = ""
    code: str = ""


class _Event(msgspec.Struct, frozen=True):
    stream: str


class _Recorded(msgspec.Struct, frozen=True):
    event: _Event


class _Feed(msgspec.Struct, frozen=True):
    items: tuple[_Recorded, ...]
    head: int
    read_until: int


class ControlPlane(ServiceClient):
    """The public API, with a service token that is reread for each call because it may be replaced."""

    timeout = _TIMEOUT

    async def create(self, creation: dict[str, Any]) -> BatchAnswer:
        """Create a batch. Idempotent."""
        return await self._call("POST", "/v1/batches", BatchAnswer, body=creation)

    async def batch(self, batch_id: str) -> BatchAnswer:
        """Return the record of a batch."""
        return await self._call("GET", f"/v1/batches/{batch_id}", BatchAnswer)

    async def start(self, batch_id: str, *, requests: int) -> BatchAnswer:
        """Report that the input is valid."""
        return await self._call("POST", f"/v1/batches/{batch_id}/start", BatchAnswer, body={"requests": requests})

    async def fail(self, batch_id: str, problems: tuple[BatchProblem, ...]) -> BatchAnswer:
        """Report that it is not."""
        return await self._call("POST", f"/v1/batches/{batch_id}/fail", BatchAnswer, body={"problems": problems})

    async def cancel(self, batch_id: str, *, reason: str) -> BatchAnswer:
        """Cancel a batch."""
        return await self._call("POST", f"/v1/batches/{batch_id}/cancel", BatchAnswer, body={"reason": reason})

    async def finish(
        self, batch_id: str, counts: dict[str, int], *, output: BatchFile | None, errors: BatchFile | None
    ) -> BatchAnswer:
        """Report the results of all requests; the answer's phase says how the batch ended."""
        body = {**counts, "output": output, "errors": errors}
        return await self._call("POST", f"/v1/batches/{batch_id}/finish", BatchAnswer, body=body)

    async def token(self, batch_id: str) -> TokenAnswer:
        """Mint a token on behalf of a batch's owner."""
        return await self._call("POST", f"/v1/batches/{batch_id}/token", TokenAnswer, body={})

    async def has_endpoint(self, name: str) -> bool:
        """Return whether there is an endpoint with this name."""
        try:
            await self._call("GET", f"/v1/endpoints/{quote(name, safe='')}", dict[str, Any])
        except RefusedError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return False
            raise
        return True

    async def erased_principals(self, *, after: int) -> tuple[frozenset[str], int]:
        """Return who was erased in any workspace after a position of the log, and the position to continue from."""
        erased: set[str] = set()
        while True:
            path = f"/v1/events?after={after}&limit={_PAGE}&type={_ERASED}&all_workspaces=true"
            feed = await self._call("GET", path, _Feed)
            erased.update(item.event.stream for item in feed.items)
            after = feed.read_until
            if after >= feed.head:
                return frozenset(erased), after

    async def _call(
        self, method: str, path: str, answer: type[Answer], *, body: dict[str, Any] | None = None
    ) -> Answer:
        content = None if body is None else msgspec.json.encode(body)
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            headers |= self._headers()
            response = await self._client.request(method, path, content=content, headers=headers)
        except (httpx.TransportError, OSError) as error:
            raise PartAwayError(f"{method} {path}: {error!r}") from error
        if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR or response.status_code in _NOT_OF_THE_CALL:
            raise PartAwayError(f"{method} {path}: {response.status_code} {response.text[:300]}")
        if response.status_code >= HTTPStatus.BAD_REQUEST:
            raise _refused(response)
        try:
            return msgspec.json.decode(response.content, type=answer)
        except msgspec.DecodeError as error:
            raise PartAwayError(f"{method} {path}: not an answer of the control plane: {error}") from error


def _refused(response: httpx.Response) -> RefusedError:
    try:
        problem = msgspec.json.decode(response.content, type=_Problem)
    except msgspec.DecodeError:
        problem = _Problem(response.text[:300])
    return RefusedError(problem.detail, code=problem.code, status=response.status_code)
