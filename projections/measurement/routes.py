"""GET /v1/endpoints/{endpoint}/measurement."""

from typing import Any

from litestar import Request, Router, get
from litestar.params import FromPath, FromQuery

from projections.measurement.queries import AnswerLimits, Measured, Question, measure_epoch
from projections.reading import Caller, Reader


def router(reader: Reader, caller: Caller) -> Router:
    """Build the routes of the view."""

    @get("/endpoints/{endpoint:str}/measurement", summary="The counts of one epoch's arms, up to a watermark")
    async def get_measurement(  # noqa: PLR0913, PLR0917  each query parameter stands for itself; Litestar binds by name
        request: Request[Any, Any, Any],
        endpoint: FromPath[str],
        epoch: FromQuery[int],
        candidate: FromQuery[str],
        baseline: FromQuery[str],
        latency_threshold_ms: FromQuery[float | None] = None,
        feedback_name: FromQuery[str | None] = None,
        loss_name: FromQuery[str | None] = None,
        loss_threshold: FromQuery[float | None] = None,
        rating_name: FromQuery[str | None] = None,
        rating_threshold: FromQuery[float | None] = None,
        first_token_threshold_ms: FromQuery[float | None] = None,
        between_tokens_threshold_ms: FromQuery[float | None] = None,
        answer_tokens_threshold: FromQuery[int | None] = None,
        truncation: FromQuery[bool | None] = None,
    ) -> Measured:
        limits = AnswerLimits(
            first_token_ms=first_token_threshold_ms,
            between_tokens_ms=between_tokens_threshold_ms,
            tokens=answer_tokens_threshold,
        )
        question = Question(
            workspace=caller.workspace_of(request),
            endpoint_id=caller.endpoint_id_of(request, endpoint),
            epoch=epoch,
            arms=tuple(dict.fromkeys((candidate, baseline))),
            latency_threshold_ms=latency_threshold_ms,
            feedback_name=feedback_name,
            loss_name=loss_name,
            loss_threshold=loss_threshold,
            rating_name=rating_name,
            rating_threshold=rating_threshold,
            answers=limits if truncation or limits != AnswerLimits() else None,
        )
        return await measure_epoch(reader, question)

    return Router(path="/v1", route_handlers=[get_measurement], tags=["views"])
