"""What the judge asks: the counts of one epoch's arms, up to a watermark."""

import asyncio
from typing import Any

from projections.errors import BadQuery
from projections.reading import Reader
from projections.watermarks.queries import watermarks
from projections.watermarks.watermark import Watermark, combined
from schemas.measurement import Arm, Measured, MeasureEpoch

_MAX_EPOCH = 2**31 - 1
_REQUESTS_OF_EPOCH = """
    workspace = {workspace:String} AND endpoint_id = {endpoint_id:String} AND epoch = {epoch:Int64}
    AND role = 'primary' AND ended_at_ms <= {watermark_ms:Int64}
"""
_PREDICTIONS_OF_ARMS = f"""
    SELECT prediction_hash FROM request_records WHERE {_REQUESTS_OF_EPOCH} AND deployment_id IN {{arms:Array(String)}}
"""  # noqa: S608  the fragment above is a constant of this module
# What another answered in an arm's place is an error of that arm: else a backup would hide a candidate that fails.
_DRAWN = "if(drawn_deployment_id = '', deployment_id, drawn_deployment_id)"
_COUNTS = f"""
    SELECT {_DRAWN} AS arm, count() AS requests, sum(is_error OR deployment_id != arm) AS errors,
           countIf(duration_ms > {{threshold_ms:Float64}}) AS slow,
           quantiles(0.5, 0.95, 0.99)(duration_ms) AS latencies_ms
    FROM request_records FINAL
    WHERE {_REQUESTS_OF_EPOCH} AND arm IN {{arms:Array(String)}}
    GROUP BY arm
    SETTINGS do_not_merge_across_partitions_select_final = 1
"""  # noqa: S608  the fragment above is a constant of this module
# One grouping by the hash of the prediction id instead of two joins: half the time, and rows that stand there twice
# until ClickHouse merges them count once. Feedback and observations are bounded by the time of the epoch's requests.
# A shadow shares the prediction id and is never an arm, so its answers are left out by their deployment.
# An answer that the capture policy withheld is neither right nor wrong.
_LABELS = f"""
    WITH (SELECT (min(started_at_ms) - 1000, max(started_at_ms) + 1000)
          FROM request_records WHERE {_REQUESTS_OF_EPOCH} AND deployment_id IN {{arms:Array(String)}}) AS bounds
    SELECT arm, count() AS labelled, countIf(answer != truth) AS wrong
    FROM (
        SELECT anyIf(value, part = 1) AS arm, anyIf(value, part = 2) AS answer, argMaxIf(value, rank, part = 4) AS truth
        FROM (
            SELECT prediction_hash, 1 AS part, toUInt64(indexOf({{arms:Array(String)}}, deployment_id)) AS value,
                   toUInt64(0) AS rank
            FROM request_records WHERE {_REQUESTS_OF_EPOCH} AND deployment_id IN {{arms:Array(String)}}
            UNION ALL
            SELECT prediction_hash, 2, answer_hash, 0 FROM observation_records
            WHERE workspace = {{workspace:String}} AND endpoint_id = {{endpoint_id:String}}
              AND deployment_id IN {{arms:Array(String)}}
              AND predicted_at_ms BETWEEN bounds.1 AND bounds.2 AND (answer_hash != sipHash64('') OR status != 200)
            UNION ALL
            SELECT prediction_hash, 4, truth_hash, recency FROM feedback
            WHERE workspace = {{workspace:String}} AND name = {{feedback_name:String}}
              AND predicted_at_ms BETWEEN bounds.1 AND bounds.2
        )
        GROUP BY prediction_hash
        HAVING groupBitOr(part) = 7
    )
    GROUP BY arm
    SETTINGS max_threads = 1
"""  # noqa: S608  the fragment above is a constant of this module

# What callers report of a prediction: no answer is compared, and text that is not a number does not count.
_NUMBERS = f"""
    SELECT arm, count() AS reported, countIf(number > {{threshold:Float64}}) AS over,
           countIf(number < {{threshold:Float64}}) AS under
    FROM (
        SELECT anyIf(value, part = 1) AS arm, argMaxIf(number, rank, part = 2) AS number
        FROM (
            SELECT prediction_hash, 1 AS part, toUInt64(indexOf({{arms:Array(String)}}, deployment_id)) AS value,
                   toFloat64(0) AS number, toUInt64(0) AS rank
            FROM request_records WHERE {_REQUESTS_OF_EPOCH} AND deployment_id IN {{arms:Array(String)}}
            UNION ALL
            SELECT prediction_hash, 2, 0, assumeNotNull(toFloat64OrNull(truth)), recency FROM feedback
            WHERE workspace = {{workspace:String}} AND name = {{called:String}} AND isFinite(toFloat64OrNull(truth))
              AND prediction_hash IN ({_PREDICTIONS_OF_ARMS})
        )
        GROUP BY prediction_hash
        HAVING groupBitOr(part) = 3
    )
    GROUP BY arm
"""  # noqa: S608  the fragment above is a constant of this module


# Times and tokens are of what the capture policy kept, with -1 for what an answer did not have; a shadow's are left out
# by their deployment.
_ANSWERS = f"""
    SELECT toUInt64(indexOf({{arms:Array(String)}}, deployment_id)) AS arm,
           countIf(first_token_ms >= 0) AS streams, countIf(first_token_ms > {{first_token_ms:Float64}}) AS late,
           countIf(token_ms >= 0) AS paced, countIf(token_ms > {{between_tokens_ms:Float64}}) AS slow_between,
           countIf(finish_reason != '') AS answers, countIf(finish_reason = 'length') AS truncated,
           countIf(tokens_out >= 0) AS counted, countIf(tokens_out > {{tokens:Int64}}) AS long
    FROM observation_records FINAL
    WHERE workspace = {{workspace:String}} AND endpoint_id = {{endpoint_id:String}}
      AND deployment_id IN {{arms:Array(String)}}
      AND prediction_hash IN ({_PREDICTIONS_OF_ARMS})
    GROUP BY arm
    SETTINGS do_not_merge_across_partitions_select_final = 1
"""  # noqa: S608  the fragment above is a constant of this module
_UNLIMITED_TOKENS = 2**62


async def measure_epoch(reader: Reader, question: MeasureEpoch, *, workspace: str, endpoint_id: str) -> Measured:
    """Count the arms. The watermark is read first: rows that arrive meanwhile are beyond it.

    Raises:
        BadQuery: no stream gets as long as the epoch says.
    """
    if not 0 <= question.epoch <= _MAX_EPOCH:
        raise BadQuery(f"{question.epoch} is not an epoch", field="epoch", remedy="take it from the endpoint's traffic")
    arms = list(dict.fromkeys((question.candidate, question.baseline)))
    needs_observations = question.feedback_name is not None or _is_about_answers(question)
    mark = await _watermark(reader, with_observations=needs_observations)
    if mark.watermark_ms is None:
        return _measured(mark, {arm: Arm() for arm in arms})
    parameters = {
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
    return {parameters["arms"][row["arm"] - 1]: row for row in rows}


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
    return {parameters["arms"][row["arm"] - 1]: row for row in rows}


async def _answers(reader: Reader, question: MeasureEpoch, parameters: dict[str, Any]) -> dict[str, dict[str, Any]]:
    if not _is_about_answers(question):
        return {}
    tokens = question.answer_tokens_threshold
    asked = {
        "first_token_ms": _or_infinite(question.first_token_threshold_ms),
        "between_tokens_ms": _or_infinite(question.between_tokens_threshold_ms),
        "tokens": _UNLIMITED_TOKENS if tokens is None else tokens,
    }
    rows = await reader.select(_ANSWERS, parameters | asked)
    return {parameters["arms"][row["arm"] - 1]: row for row in rows}


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
