"""What is counted of epochs' arms, as SQL: one statement a kind of count, for all questions at once.

A statement is joined with its questions, each with its own thresholds, so that one question more costs little more than
its rows. Parameters are bound by `queries`: `endpoint_ids`, `epochs`, and an array for each column of the questions.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from projections.rollups.reading import of_epochs
from projections.rollups.statements import ANSWERS, LABELS, REQUESTS, SCORES, above, below, total
from schemas.measurement import MeasureEpoch

_COMMON = {"question": "UInt32", "candidate": "String", "baseline": "String"}
_INFINITE = float("inf")


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """A statement, and what it is asked.

    `asks` returns the values of the questions' further columns, or None if a question does not ask for this count.
    """

    sql: str
    asks: Callable[[MeasureEpoch], Mapping[str, Any] | None]


def _asked(**columns: str) -> str:
    """Return a subquery with a row for each question."""
    arrays = [f"{{{name}:Array({kind})}} AS {name}" for name, kind in (_COMMON | columns).items()]
    return f"""(
        SELECT endpoint_id, epoch, {", ".join(_COMMON | columns)} FROM (SELECT 1)
        ARRAY JOIN {{endpoint_ids:Array(String)}} AS endpoint_id, {{epochs:Array(Int64)}} AS epoch, {", ".join(arrays)}
    )"""  # noqa: S608  our own names


# What another answered in an arm's place is an error of that arm: else a backup would hide a candidate that fails.
_REQUESTS = f"""
    SELECT question, drawn_deployment_id AS arm, sum(r.requests) AS requests,
           sum(if(deployment_id = drawn_deployment_id, r.errors, r.requests)) AS errors,
           sumIf(r.refused, deployment_id = drawn_deployment_id) AS refused,
           sum({above("durations_ms", "threshold_ms")}) AS slow,
           quantilesExactWeightedArray(0.5, 0.95, 0.99)(mapKeys(durations_ms), mapValues(durations_ms)) AS latencies_ms
    FROM {of_epochs(REQUESTS)} AS r
    INNER JOIN {_asked(threshold_ms="Float64")} AS asked USING (endpoint_id, epoch)
    WHERE arm = candidate OR arm = baseline GROUP BY question, arm
"""  # noqa: S608  our own names
_LABELS = f"""
    SELECT question, deployment_id AS arm, sum(r.labelled) AS labelled, sum(r.wrong) AS wrong
    FROM {of_epochs(LABELS)} AS r
    INNER JOIN {_asked(called="String")} AS asked USING (endpoint_id, epoch)
    WHERE name = called AND (arm = candidate OR arm = baseline) GROUP BY question, arm
"""  # noqa: S608  our own names
# Times and tokens are of what the capture policy kept.
_ANSWERS = f"""
    SELECT question, deployment_id AS arm,
           sum({total("first_token_ms")}) AS streams,
           sum({above("first_token_ms", "first_limit")}) AS late,
           sum({total("token_ms")}) AS paced,
           sum({above("token_ms", "between_limit")}) AS slow_between,
           sum({total("finish_reasons")}) AS answers, sum(finish_reasons['length']) AS truncated,
           sum({total("tokens_out")}) AS counted,
           sum({above("tokens_out", "length_limit")}) AS long
    FROM {of_epochs(ANSWERS)} AS r
    INNER JOIN {_asked(first_limit="Float64", between_limit="Float64", length_limit="Float64")} AS asked
        USING (endpoint_id, epoch)
    WHERE arm = candidate OR arm = baseline GROUP BY question, arm
"""  # noqa: S608  our own names


def _numbers(*, reported: str, beyond: str, compare: Callable[[str, str], str]) -> str:
    # What was reported and is none of `numbers` is NaN: it is within no threshold, so it counts as beyond each.
    nans = f"r.scored - {total('numbers')}"
    return f"""
        SELECT question, deployment_id AS arm, sum(r.scored) AS {reported},
               sum(if(isFinite(threshold), {compare("numbers", "threshold")} + {nans}, 0)) AS {beyond}
        FROM {of_epochs(SCORES)} AS r
        INNER JOIN {_asked(called="String", threshold="Float64")} AS asked USING (endpoint_id, epoch)
        WHERE name = called AND (arm = candidate OR arm = baseline) GROUP BY question, arm
    """  # noqa: S608  our own names


def _ask_requests(asked: MeasureEpoch) -> Mapping[str, Any]:
    return {"threshold_ms": _or_infinite(asked.latency_threshold_ms)}


def _ask_labels(asked: MeasureEpoch) -> Mapping[str, Any] | None:
    return None if asked.feedback_name is None else {"called": asked.feedback_name}


def _ask_losses(asked: MeasureEpoch) -> Mapping[str, Any] | None:
    if asked.loss_name is None:
        return None
    return {"called": asked.loss_name, "threshold": _or_infinite(asked.loss_threshold)}


def _ask_ratings(asked: MeasureEpoch) -> Mapping[str, Any] | None:
    if asked.rating_name is None:
        return None
    threshold = -_INFINITE if asked.rating_threshold is None else asked.rating_threshold
    return {"called": asked.rating_name, "threshold": threshold}


def _ask_answers(asked: MeasureEpoch) -> Mapping[str, Any] | None:
    limits = (asked.first_token_threshold_ms, asked.between_tokens_threshold_ms, asked.answer_tokens_threshold)
    if not asked.truncation and all(limit is None for limit in limits):
        return None
    names = ("first_limit", "between_limit", "length_limit")
    return dict(zip(names, map(_or_infinite, limits), strict=True))


def _or_infinite(limit: float | None) -> float:
    return _INFINITE if limit is None else limit


OF_REQUESTS = Count(sql=_REQUESTS, asks=_ask_requests)
OF_LABELS = Count(sql=_LABELS, asks=_ask_labels)
OF_LOSSES = Count(sql=_numbers(reported="scored", beyond="over", compare=above), asks=_ask_losses)
OF_RATINGS = Count(sql=_numbers(reported="rated", beyond="under", compare=below), asks=_ask_ratings)
OF_ANSWERS = Count(sql=_ANSWERS, asks=_ask_answers)

COUNTS = (OF_REQUESTS, OF_LABELS, OF_LOSSES, OF_RATINGS, OF_ANSWERS)
OF_OBSERVATIONS = (OF_LABELS, OF_ANSWERS)
"""The counts of what engines captured."""
