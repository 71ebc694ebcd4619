"""The judge's calls to the control plane. Every call has a timeout; failures are PartAwayError or RefusedError."""

from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

import httpx
import msgspec

from schemas.measurement import Measured, MeasuredRollout, MeasureEpochOf, MeasureEpochs, ReportMeasurements
from schemas.results import Result, Results
from workers.rollout_judge.errors import PartAwayError, RefusedError
from workers.rollout_judge.looks import ReportWarmUp

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

    async def look(self, epochs: Sequence[MeasureEpochOf]) -> list[Result[Measured]]:
        """Return the counts of each epoch's deployments."""
        return await self._each("/v1/measurements", MeasureEpochs(items=tuple(epochs)), Results[Measured])

    async def report_warm_up(self, rollout_id: str, report: ReportWarmUp) -> None:
        """Report how the candidate warms up."""
        await self._call(f"/v1/rollouts/{rollout_id}/warm-up", report, dict[str, object])

    async def report_measurements(self, measured: Sequence[MeasuredRollout]) -> list[Result[Judged]]:
        """Send measurements and return the decision on each."""
        return await self._each("/v1/rollouts/measurements", ReportMeasurements(items=tuple(measured)), Results[Judged])

    async def _each(
        self, path: str, body: MeasureEpochs | ReportMeasurements, answer: type[Results[Answer]]
    ) -> list[Result[Answer]]:
        results = (await self._call(path, body, answer)).items
        if len(results) != len(body.items):
            raise PartAwayError(f"POST {path}: {len(results)} results for {len(body.items)} items")
        return results

    async def _call(self, path: str, body: msgspec.Struct, answer: type[Answer]) -> Answer:
        try:
            token = self._token_file.read_text(encoding="utf-8").strip()
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            response = await self._client.post(path, content=msgspec.json.encode(body), headers=headers)
        except (httpx.TransportError, OSError) as error:
            raise PartAwayError(f"POST {path}: {error!r}") from error
        if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise PartAwayError(f"POST {path}: {response.status_code} {response.text[:300]}")
        if response.status_code >= HTTPStatus.BAD_REQUEST:
            raise RefusedError(f"POST {path}: {response.status_code} {response.text[:300]}")
        try:
            return msgspec.json.decode(response.content, type=answer)
        except msgspec.DecodeError as error:
            raise PartAwayError(f"POST {path}: not an answer of the control plane: {error}") from error
