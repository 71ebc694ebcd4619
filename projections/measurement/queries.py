"""What the judge asks: the counts of one epoch's arms, up to a watermark."""

import asyncio
from typing import Any

import msgspec

from projections.errors import BadQuery
from projections.reading import Reader
from projections.watermarks.queries import watermarks
from projections.watermarks.watermark import Freshness, Watermark, combined

_LARGEST_EPOCH = 2**31 - 1
_REQUESTS_OF_EPOCH = """
    workspace = {workspace:String} AND endpoint_id = {endpoint_id:String} AND epoch = {epoch:Int64}
    AND role = 'primary' AND ended_at_ms <= {watermark_ms:Int64}
"""
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

# What callers report of a prediction by itself: no answer is compared, and text that is no number counts for nothing.
_LOSSES = f"""
    SELECT arm, count() AS scored, countIf(loss > {{loss_threshold:Float64}}) AS over
    FROM (
        SELECT anyIf(value, part = 1) AS arm, argMaxIf(number, rank, part = 2) AS loss
        FROM (
            SELECT prediction_hash, 1 AS part, toUInt64(indexOf({{arms:Array(String)}}, deployment_id)) AS value,
                   toFloat64(0) AS number, toUInt64(0) AS rank
            FROM request_records WHERE {_REQUESTS_OF_EPOCH} AND deployment_id IN {{arms:Array(String)}}
            UNION ALL
            SELECT prediction_hash, 2, 0, assumeNotNull(toFloat64OrNull(truth)), recency FROM feedback
            WHERE workspace = {{workspace:String}} AND name = {{loss_name:String}} AND isFinite(toFloat64OrNull(truth))
              AND prediction_hash IN (
                  SELECT prediction_hash FROM request_records
                  WHERE {_REQUESTS_OF_EPOCH} AND deployment_id IN {{arms:Array(String)}}
              )
        )
        GROUP BY prediction_hash
        HAVING groupBitOr(part) = 3
    )
    GROUP BY arm
"""  # noqa: S608  the fragment above is a constant of this module


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """Which arms of which epoch; without a feedback name nothing is compared with labels, nor losses without theirs."""

    workspace: str
    endpoint_id: str
    epoch: int
    arms: tuple[str, ...]
    latency_threshold_ms: float | None
    feedback_name: str | None
    loss_name: str | None = None
    loss_threshold: float | None = None


class Arm(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of one deployment since the epoch began. Latencies are None without requests.

    `over` of the `scored` predictions have a reported loss above the threshold.
    """

    requests: int = 0
    errors: int = 0
    slow: int = 0
    labelled: int = 0
    wrong: int = 0
    scored: int = 0
    over: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """The arms by deployment id, over every primary request that ended at or before the watermark."""

    freshness: Freshness
    watermark_ms: int | None
    lag_ms: int | None
    waiting_for: tuple[str, ...]
    arms: dict[str, Arm]


async def measure_epoch(reader: Reader, question: Question) -> Measured:
    """Count the arms. The watermark is read first: rows that arrive meanwhile are beyond it.

    Raises:
        BadQuery: no stream gets as long as the epoch says.
    """
    if not 0 <= question.epoch <= _LARGEST_EPOCH:
        raise BadQuery(f"{question.epoch} is no epoch", field="epoch", remedy="take it from the endpoint's traffic")
    mark = await _watermark(reader, with_labels=question.feedback_name is not None)
    if mark.watermark_ms is None:
        return _measured(mark, {arm: Arm() for arm in question.arms})
    parameters = {
        "workspace": question.workspace,
        "endpoint_id": question.endpoint_id,
        "epoch": question.epoch,
        "arms": list(question.arms),
        "watermark_ms": mark.watermark_ms,
        "threshold_ms": question.latency_threshold_ms if question.latency_threshold_ms is not None else float("inf"),
    }
    counts, *judged = await asyncio.gather(
        reader.select(_COUNTS, parameters),
        _labels(reader, question, parameters),
        _losses(reader, question, parameters),
    )
    of_arm: dict[str, dict[str, Any]] = {row["arm"]: row for row in counts}
    for arm, found in (pair for each in judged for pair in each.items()):
        of_arm[arm] = {**of_arm.get(arm, {}), **found, "arm": arm}
    return _measured(mark, {arm: _arm(of_arm.get(arm, {})) for arm in question.arms})


async def _watermark(reader: Reader, *, with_labels: bool) -> Watermark:
    marks = await watermarks(reader, ("requests", "observations"))
    if marks["requests"].freshness == "no_data" or not with_labels:
        return marks["requests"]
    return combined([marks["requests"], marks["observations"]])


async def _labels(reader: Reader, question: Question, parameters: dict[str, Any]) -> dict[str, dict[str, Any]]:
    if question.feedback_name is None:
        return {}
    rows = await reader.select(_LABELS, parameters | {"feedback_name": question.feedback_name})
    return {question.arms[row["arm"] - 1]: row for row in rows}


async def _losses(reader: Reader, question: Question, parameters: dict[str, Any]) -> dict[str, dict[str, Any]]:
    if question.loss_name is None:
        return {}
    threshold = question.loss_threshold if question.loss_threshold is not None else float("inf")
    asked = {"loss_name": question.loss_name, "loss_threshold": threshold}
    rows = await reader.select(_LOSSES, parameters | asked)
    return {question.arms[row["arm"] - 1]: row for row in rows}


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
