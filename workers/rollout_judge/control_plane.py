"""The judge's calls to the control plane. Every call has a timeout; failures are PartAwayError or RefusedError."""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import TypeVar

import httpx
import msgspec

from infra.service_client import ServiceClient
from schemas.measurement import Measured, MeasuredRollout, MeasureEpochOf, MeasureEpochs, ReportMeasurements
from schemas.results import ItemProblem, Result, Results
from workers.rollout_judge.errors import ContentRefusedError, PartAwayError, RefusedError
from workers.rollout_judge.looks import ReportWarmUp

# A view that is slow goes on with a question when nobody waits any more, so that asking again makes it slower.
_TIMEOUT = httpx.Timeout(30.0, connect=1.0)
_TOO_MUCH_AT_ONCE = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_TIMEOUT)
_CONTENT = (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY)
Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a measurement, as far as the judge logs it."""

    decision: str
    reason: str = ""


class ControlPlane(ServiceClient):
    """The public API, with the judge's own service token, which is reread for each call because it may be replaced."""

    timeout = _TIMEOUT

    async def look(self, epochs: Sequence[MeasureEpochOf]) -> list[Result[Measured]]:
        """Return the counts of each epoch's deployments."""
        return await self._each("/v1/measurements", epochs, MeasureEpochs, Results[Measured])

    async def report_warm_up(self, rollout_id: str, report: ReportWarmUp) -> None:
        """Report how the candidate warms up."""
        await self._call(f"/v1/rollouts/{rollout_id}/warm-up", report, dict[str, object])

    async def report_measurements(self, measured: Sequence[MeasuredRollout]) -> list[Result[Judged]]:
        """Send measurements and return the decision on each."""
        return await self._each("/v1/rollouts/measurements", measured, ReportMeasurements, Results[Judged])

    async def _each(
        self,
        path: str,
        items: Sequence[Item],
        body: Callable[..., msgspec.Struct],
        answer: type[Results[Answer]],
    ) -> list[Result[Answer]]:
        """Send items together, and by halves if all are refused for what is in one of them."""
        try:
            results = (await self._call(path, body(items=tuple(items)), answer)).items
        except ContentRefusedError as error:
            if len(items) == 1:
                return [Result(problem=ItemProblem(code="refused", detail=str(error)))]
            middle = len(items) // 2
            first = await self._each(path, items[:middle], body, answer)
            return [*first, *await self._each(path, items[middle:], body, answer)]
        if len(results) != len(items):
            raise PartAwayError(f"POST {path}: {len(results)} results for {len(items)} items")
        return results

    async def _call(self, path: str, body: msgspec.Struct, answer: type[Answer]) -> Answer:
        try:
            headers = {**self._headers(), "Content-Type": "application/json"}
            response = await self._client.post(path, content=msgspec.json.encode(body), headers=headers)
        except (httpx.TransportError, OSError) as error:
            raise PartAwayError(f"POST {path}: {error!r}") from error
        status, told = response.status_code, f"POST {path}: {response.status_code} {response.text[:300]}"
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _TOO_MUCH_AT_ONCE:
            raise PartAwayError(told)
        if status >= HTTPStatus.BAD_REQUEST:
            raise ContentRefusedError(told) if status in _CONTENT else RefusedError(told)
        try:
            return msgspec.json.decode(response.content, type=answer)
        except msgspec.DecodeError as error:
            raise PartAwayError(f"POST {path}: not an answer of the control plane: {error}") from error
