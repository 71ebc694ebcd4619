"""What the judge asks: the counts of one epoch's arms, up to a watermark."""

import asyncio
from typing import Any

from projections.errors import BadQuery
from projections.reading import Reader
from projections.rollups.reading import of_epoch, rolled_up
from projections.rollups.statements import ANSWERS, LABELS, REQUESTS, SCORES, above, below, total
from projections.watermarks.queries import watermarks
from projections.watermarks.watermark import Watermark, combined
from schemas.measurement import Arm, Measured, MeasureEpoch

_MAX_EPOCH = 2**31 - 1
# What another answered in an arm's place is an error of that arm: else a backup would hide a candidate that fails.
_COUNTS = f"""
    SELECT drawn_deployment_id AS arm, sum(r.requests) AS requests,
           sum(if(deployment_id = drawn_deployment_id, r.errors, r.requests)) AS errors,
           sum({above("durations_ms", "{threshold_ms:Float64}")}) AS slow,
           quantilesExactWeightedArray(0.5, 0.95, 0.99)(mapKeys(durations_ms), mapValues(durations_ms)) AS latencies_ms
    FROM {of_epoch(REQUESTS)} AS r WHERE arm IN {{arms:Array(String)}} GROUP BY arm
"""  # noqa: S608  our own names
_LABELS = f"""
    SELECT deployment_id AS arm, sum(r.labelled) AS labelled, sum(r.wrong) AS wrong
    FROM {of_epoch(LABELS)} AS r
    WHERE arm IN {{arms:Array(String)}} AND name = {{feedback_name:String}} GROUP BY arm
"""  # noqa: S608  our own names
_NUMBERS = f"""
    SELECT deployment_id AS arm, sum(scored) AS reported,
           sum({above("numbers", "{threshold:Float64}")}) AS over,
           sum({below("numbers", "{threshold:Float64}")}) AS under
    FROM {of_epoch(SCORES)} AS r
    WHERE arm IN {{arms:Array(String)}} AND name = {{called:String}} GROUP BY arm
"""  # noqa: S608  our own names
# Times and tokens are of what the capture policy kept.
_ANSWERS = f"""
    SELECT deployment_id AS arm,
           sum({total("first_token_ms")}) AS streams,
           sum({above("first_token_ms", "{first_token_limit:Float64}")}) AS late,
           sum({total("token_ms")}) AS paced,
           sum({above("token_ms", "{between_tokens_limit:Float64}")}) AS slow_between,
           sum({total("finish_reasons")}) AS answers, sum(finish_reasons['length']) AS truncated,
           sum({total("tokens_out")}) AS counted,
           sum({above("tokens_out", "{tokens_limit:Float64}")}) AS long
    FROM {of_epoch(ANSWERS)} AS r WHERE arm IN {{arms:Array(String)}} GROUP BY arm
"""  # noqa: S608  our own names


async def measure_epoch(reader: Reader, question: MeasureEpoch, *, workspace: str, endpoint_id: str) -> Measured:
    """Count the arms. The watermark is read first: rows that arrive meanwhile are beyond it.

    Durations, numbers and tokens have a resolution of 0.8 %.

    Raises:
        BadQuery: no stream gets as long as the epoch says.
    """
    if not 0 <= question.epoch <= _MAX_EPOCH:
        raise BadQuery(f"{question.epoch} is not an epoch", field="epoch", remedy="take it from the endpoint's traffic")
    arms = list(dict.fromkeys((question.candidate, question.baseline)))
    needs_observations = question.feedback_name is not None or _is_about_answers(question)
    mark, until = await asyncio.gather(_watermark(reader, with_observations=needs_observations), rolled_up(reader))
    if mark.watermark_ms is None:
        return _measured(mark, {arm: Arm() for arm in arms})
    parameters = {
        **until,
        "workspace": workspace,
        "endpoint_id": endpoint_id,
        "epoch": question.epoch,
        "arms": arms,
        "watermark_ms": mark.watermark_ms,
        "threshold_ms": _or_infinite(question.latency_threshold_ms),
    }
    counts, *judged = await asyncio.gather(
        reader.select(_COUNTS, parameters),
        _labels(reader, question, parameters),
        _losses(reader, question, parameters),
        _ratings(reader, question, parameters),
        _answers(reader, question, parameters),
    )
    of_arm: dict[str, dict[str, Any]] = {row["arm"]: row for row in counts}
    for arm, found in (pair for each in judged for pair in each.items()):
        of_arm[arm] = {**of_arm.get(arm, {}), **found, "arm": arm}
    return _measured(mark, {arm: _arm(of_arm.get(arm, {})) for arm in arms})


async def _watermark(reader: Reader, *, with_observations: bool) -> Watermark:
    marks = await watermarks(reader, ("requests", "observations"))
    if marks["requests"].freshness == "no_data" or not with_observations:
        return marks["requests"]
    return combined([marks["requests"], marks["observations"]])


async def _labels(reader: Reader, question: MeasureEpoch, parameters: dict[str, Any]) -> dict[str, dict[str, Any]]:
    if question.feedback_name is None:
        return {}
    rows = await reader.select(_LABELS, parameters | {"feedback_name": question.feedback_name})
    return {row["arm"]: row for row in rows}


async def _losses(reader: Reader, question: MeasureEpoch, parameters: dict[str, Any]) -> dict[str, dict[str, Any]]:
    threshold = _or_infinite(question.loss_threshold)
    found = await _numbers(reader, parameters, name=question.loss_name, threshold=threshold)
    return {arm: {"scored": row["reported"], "over": row["over"]} for arm, row in found.items()}


async def _ratings(reader: Reader, question: MeasureEpoch, parameters: dict[str, Any]) -> dict[str, dict[str, Any]]:
    threshold = -float("inf") if question.rating_threshold is None else question.rating_threshold
    found = await _numbers(reader, parameters, name=question.rating_name, threshold=threshold)
    return {arm: {"rated": row["reported"], "under": row["under"]} for arm, row in found.items()}


async def _numbers(
    reader: Reader, parameters: dict[str, Any], *, name: str | None, threshold: float
) -> dict[str, dict[str, Any]]:
    if name is None:
        return {}
    rows = await reader.select(_NUMBERS, parameters | {"called": name, "threshold": threshold})
    return {row["arm"]: row for row in rows}


async def _answers(reader: Reader, question: MeasureEpoch, parameters: dict[str, Any]) -> dict[str, dict[str, Any]]:
    if not _is_about_answers(question):
        return {}
    asked = {
        "first_token_limit": _or_infinite(question.first_token_threshold_ms),
        "between_tokens_limit": _or_infinite(question.between_tokens_threshold_ms),
        "tokens_limit": _or_infinite(question.answer_tokens_threshold),
    }
    rows = await reader.select(_ANSWERS, parameters | asked)
    return {row["arm"]: row for row in rows}


def _is_about_answers(question: MeasureEpoch) -> bool:
    thresholds = (
        question.first_token_threshold_ms,
        question.between_tokens_threshold_ms,
        question.answer_tokens_threshold,
    )
    return bool(question.truncation) or any(each is not None for each in thresholds)


def _or_infinite(limit: float | None) -> float:
    return float("inf") if limit is None else limit


def _arm(row: dict[str, Any]) -> Arm:
    p50, p95, p99 = row.get("latencies_ms", (None, None, None))
    counted = {name: count for name, count in row.items() if name in Arm.__struct_fields__}
    return Arm(**counted, p50_ms=p50, p95_ms=p95, p99_ms=p99)


def _measured(mark: Watermark, arms: dict[str, Arm]) -> Measured:
    return Measured(
        freshness=mark.freshness,
        watermark_ms=mark.watermark_ms,
        lag_ms=mark.lag_ms,
        waiting_for=mark.waiting_for,
        arms=arms,
    )
