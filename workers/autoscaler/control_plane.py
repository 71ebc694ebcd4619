"""The autoscaler's calls to the control plane, each with a timeout."""

from copy import copy
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

import httpx
import msgspec

from schemas.identifiers import WORKSPACE_HEADER
from schemas.scaling import LoadMeasurement
from workers.autoscaler.errors import PartAwayError, RefusedError

_TIMEOUT = httpx.Timeout(5.0, connect=1.0)
Answer = TypeVar("Answer")


class ScalingAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a measurement."""

    replicas: int
    scaling_version: int
    is_changed: bool
    code: str
    reason: str


class ControlPlane:
    """The public API, with a service token that is reread for each call because it may be replaced."""

    def __init__(self, url: str, *, token_file: Path, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._client = httpx.AsyncClient(base_url=url, timeout=_TIMEOUT, transport=transport)
        self._token_file = token_file
        self.workspace: str | None = None

    def within(self, workspace: str | None) -> "ControlPlane":
        """Return the same control plane for what belongs to a workspace."""
        bound = copy(self)
        bound.workspace = workspace
        return bound

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def report_load(self, endpoint_id: str, deployment_id: str, measurement: LoadMeasurement) -> ScalingAnswer:
        """Send a measurement and return the decision."""
        path = f"/v1/endpoints/{endpoint_id}/deployments/{deployment_id}/load"
        return await self._call("POST", path, ScalingAnswer, body={"measurement": measurement})

    async def _call(
        self, method: str, path: str, answer: type[Answer], *, body: dict[str, LoadMeasurement] | None = None
    ) -> Answer:
        content = None if body is None else msgspec.json.encode(body)
        headers = {WORKSPACE_HEADER: self.workspace} if self.workspace else {}
        headers |= {} if body is None else {"Content-Type": "application/json"}
        try:
            headers["Authorization"] = f"Bearer {self._token_file.read_text(encoding='utf-8').strip()}"
            response = await self._client.request(method, path, content=content, headers=headers)
        except (httpx.TransportError, OSError) as error:
            raise PartAwayError(f"{method} {path}: {error!r}") from error
        if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise PartAwayError(f"{method} {path}: {response.status_code} {response.text[:300]}")
        if response.status_code >= HTTPStatus.BAD_REQUEST:
            raise RefusedError(f"{method} {path}: {response.status_code} {response.text[:300]}")
        try:
            return msgspec.json.decode(response.content, type=answer)
        except msgspec.DecodeError as error:
            raise PartAwayError(f"{method} {path}: not an answer of the control plane: {error}") from error
