"""The drift watch's calls to the control plane. Every call has a timeout; failures are NoAnswerError."""

import hashlib
from http import HTTPStatus
from typing import TypeVar

import httpx
import msgspec

from infra.service_client import ServiceClient
from schemas.events.monitors import Look, Outcome
from schemas.feature_summaries import AskFeatureSummaries, FeatureSummaries
from workers.drift_watch.errors import ControlPlaneAwayError, RefusedError, TooLargeAnswerError

_TIMEOUT = httpx.Timeout(60.0, connect=2.0)
_TOO_MUCH_AT_ONCE = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_TIMEOUT)
_JSON = {"Content-Type": "application/json"}
_BYTES = {"Content-Type": "application/octet-stream"}
Answer = TypeVar("Answer")


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """What a monitor answers after a look, as far as the drift watch logs it."""

    outcome: Outcome | None
    reason: str


class FixedReport(msgspec.Struct, frozen=True, kw_only=True):
    """Where the windows of a reference are kept, or why there are too few."""

    digest: str | None
    windows: int
    rows: int
    features: tuple[str, ...] = ()
    unusable_because: str = ""


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """The deployments of an endpoint that are shadows."""

    left_out: tuple[str, ...]


class _Problem(msgspec.Struct, frozen=True, kw_only=True):
    code: str = ""
    field: str | None = None
    detail: str = ""


class ControlPlane(ServiceClient):
    """The public API, with the drift watch's own service token."""

    timeout = _TIMEOUT

    async def summaries(self, endpoint_id: str, asked: AskFeatureSummaries) -> FeatureSummaries:
        """Return the summaries of an endpoint's features.

        Raises:
            TooLargeAnswerError: they do not fit in one answer; ask for fewer windows.
        """
        path = f"/v1/endpoints/{endpoint_id}/feature-summaries"
        return _read(await self._post(path, asked), FeatureSummaries)

    async def report_reference(self, monitor_id: str, report: FixedReport) -> None:
        """Report the reference of a monitor."""
        await self._post(f"/v1/monitors/{monitor_id}/reference", report)

    async def report_look(self, monitor_id: str, look: Look) -> Answered:
        """Send a look and return what the monitor answers."""
        return _read(await self._post(f"/v1/monitors/{monitor_id}/looks", look), Answered)

    async def leave_out(self, monitor_id: str, deployment_ids: tuple[str, ...]) -> None:
        """Report which deployments are shadows."""
        await self._post(f"/v1/monitors/{monitor_id}/left-out", LeftOut(left_out=deployment_ids))

    async def keep(self, content: bytes) -> str:
        """Store a reference under the digest of its content, which is returned."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        await self._ask("PUT", f"/v1/references/{digest}", content=content, headers=_BYTES)
        return digest

    async def kept(self, digest: str) -> bytes:
        """Return a stored file."""
        response = await self._ask("GET", f"/v1/artifacts/{digest}", content=None, headers={})
        return response.content

    async def _post(self, path: str, body: msgspec.Struct) -> httpx.Response:
        return await self._ask("POST", path, content=msgspec.json.encode(body), headers=_JSON)

    async def _ask(self, method: str, path: str, *, content: bytes | None, headers: dict[str, str]) -> httpx.Response:
        try:
            response = await self._client.request(method, path, content=content, headers={**self._headers(), **headers})
        except (httpx.TransportError, OSError) as error:
            raise ControlPlaneAwayError(f"{method} {path}: {error!r}") from error
        status, told = response.status_code, f"{method} {path}: {response.status_code} {response.text[:300]}"
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _TOO_MUCH_AT_ONCE:
            raise ControlPlaneAwayError(told)
        if status >= HTTPStatus.BAD_REQUEST:
            raise TooLargeAnswerError(told) if _is_too_large(response) else RefusedError(told)
        return response


def _is_too_large(response: httpx.Response) -> bool:
    try:
        problem = msgspec.json.decode(response.content, type=_Problem)
    except msgspec.DecodeError:
        return False
    return problem.code == "bad-query" and problem.field == "features"


def _read(response: httpx.Response, answer: type[Answer]) -> Answer:
    try:
        return msgspec.json.decode(response.content, type=answer)
    except msgspec.DecodeError as error:
        raise ControlPlaneAwayError(f"{response.url.path}: not an answer of the control plane: {error}") from error
