"""The counts that a rollout is judged by."""

from functools import partial

import msgspec

from infra.operations import READERS, Caller, Operations, Question
from projections.errors import BadQuery, ViewUnavailable
from projections.measurement import queries
from projections.measurement.queries import AnswerLimits, Measured, measure_epoch
from projections.reading import Endpoints, Reader
from projections.view import Access


class MeasureEpoch(msgspec.Struct, frozen=True, kw_only=True):
    """Which arms of which epoch; what has no name or threshold is not counted."""

    epoch: int
    candidate: str
    baseline: str
    latency_threshold_ms: float | None = None
    feedback_name: str | None = None
    loss_name: str | None = None
    loss_threshold: float | None = None
    rating_name: str | None = None
    rating_threshold: float | None = None
    first_token_threshold_ms: float | None = None
    between_tokens_threshold_ms: float | None = None
    answer_tokens_threshold: int | None = None
    truncation: bool | None = None


def operations(access: Access) -> Operations:
    """Declare them."""
    measurement = Question(
        method="GET",
        path="/v1/endpoints/{endpoint}/measurement",
        handler=partial(show_measurement, access.reader, access.endpoints),
        sdk="endpoints.measurement",
        asks=MeasureEpoch,
        answers=Measured,
        roles=READERS,
        summary="Get the counts of one traffic epoch, by version, up to a watermark",
        errors=(access.endpoints.unknown, BadQuery, ViewUnavailable),
    )
    return Operations("views", [measurement])


async def show_measurement(
    reader: Reader, endpoints: Endpoints, caller: Caller, endpoint: str, asked: MeasureEpoch
) -> Measured:
    """Count what the arms of an epoch did."""
    limits = AnswerLimits(
        first_token_ms=asked.first_token_threshold_ms,
        between_tokens_ms=asked.between_tokens_threshold_ms,
        tokens=asked.answer_tokens_threshold,
    )
    question = queries.Question(
        workspace=caller.workspace,
        endpoint_id=endpoints.id_of(endpoint, caller.workspace),
        epoch=asked.epoch,
        arms=tuple(dict.fromkeys((asked.candidate, asked.baseline))),
        latency_threshold_ms=asked.latency_threshold_ms,
        feedback_name=asked.feedback_name,
        loss_name=asked.loss_name,
        loss_threshold=asked.loss_threshold,
        rating_name=asked.rating_name,
        rating_threshold=asked.rating_threshold,
        answers=limits if asked.truncation or limits != AnswerLimits() else None,
    )
    return await measure_epoch(reader, question)
