"""The judge's calls to the control plane. Every call has a timeout; failures are PartAwayError or RefusedError."""

from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

import httpx
import msgspec
from msgspec.structs import asdict

from schemas.events.rollouts import Measurement
from schemas.measurement import Measured
from workers.rollout_judge.errors import PartAwayError, RefusedError
from workers.rollout_judge.looks import LookAtView, ReportWarmUp

_TIMEOUT = httpx.Timeout(5.0, connect=1.0)
Answer = TypeVar("Answer")


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a measurement, as far as the judge logs it."""

    decision: str
    reason: str = ""


class ControlPlane:
    """The public API, with the judge's own service token, which is reread for each call because it may be replaced."""

    def __init__(self, url: str, *, token_file: Path, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._client = httpx.AsyncClient(base_url=url, timeout=_TIMEOUT, transport=transport)
        self._token_file = token_file

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def look(self, look: LookAtView) -> Measured:
        """Return the counts of an epoch's deployments."""
        path = f"/v1/endpoints/{look.endpoint_id}/measurement"
        params = {name: value for name, value in asdict(look.question).items() if value is not None}
        return await self._call("GET", path, Measured, params=params)

    async def report_warm_up(self, rollout_id: str, report: ReportWarmUp) -> None:
        """Report how the candidate warms up."""
        await self._call("POST", f"/v1/rollouts/{rollout_id}/warm-up", dict[str, object], body=report)

    async def report_measurement(self, rollout_id: str, measurement: Measurement) -> Judged:
        """Send a measurement and return the decision."""
        return await self._call("POST", f"/v1/rollouts/{rollout_id}/measurements", Judged, body=measurement)

    async def _call(
        self,
        method: str,
        path: str,
        answer: type[Answer],
        *,
        params: dict[str, Any] | None = None,
        body: msgspec.Struct | None = None,
    ) -> Answer:
        content = None if body is None else msgspec.json.encode(body)
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            headers["Authorization"] = f"Bearer {self._token_file.read_text(encoding='utf-8').strip()}"
            response = await self._client.request(method, path, params=params, content=content, headers=headers)
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
