"""The autoscaler's calls to the control plane, each with a timeout."""

from http import HTTPStatus
from typing import TypeVar

import httpx
import msgspec

from infra.service_client import ServiceClient
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


class ControlPlane(ServiceClient):
    """The public API, with a service token that is reread for each call because it may be replaced."""

    timeout = _TIMEOUT

    async def report_load(self, endpoint_id: str, deployment_id: str, measurement: LoadMeasurement) -> ScalingAnswer:
        """Send a measurement and return the decision."""
        path = f"/v1/endpoints/{endpoint_id}/deployments/{deployment_id}/load"
        return await self._call("POST", path, ScalingAnswer, body={"measurement": measurement})

    async def _call(
        self, method: str, path: str, answer: type[Answer], *, body: dict[str, LoadMeasurement] | None = None
    ) -> Answer:
        content = None if body is None else msgspec.json.encode(body)
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            headers |= self._headers()
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
