"""How much of the feedback that came is late, repeated, contradicting, or of no use to a comparison."""

import asyncio

import msgspec

from projections.class_names.rows import CLASSES
from projections.errors import BadQuery
from projections.quality.rows import HAS_ANSWER
from projections.quality.typed_text import is_readable, number_in, spelled
from projections.reading import Reader
from projections.watermarks.queries import endpoint_watermark, watermarks
from projections.watermarks.watermark import combined
from schemas.measurement import Watermark

_HOUR_MS = 3_600_000
_MAX_MS = 31 * 24 * _HOUR_MS

# Per prediction, name and source: what was said one after the other.
_WORDS = """
    SELECT prediction_id, name, source, arraySort(groupArray((place, value))) AS words, count() AS messages,
           arrayCount((word, earlier) -> word.2 != earlier.2, arrayPopFront(words), arrayPopBack(words)) AS corrections,
           words[-1] AS last, min(received_at_ms) AS first_ms
    FROM feedback_history FINAL
    WHERE workspace = {workspace:String} AND predicted_at_ms >= {since_ms:Int64}
    GROUP BY prediction_id, name, source
"""
_SAID = f"""
    SELECT prediction_id, name, sum(w.messages) AS messages, sum(w.corrections) AS corrections,
           messages - corrections - count() AS repetitions, uniqExact(last.2) > 1 AS is_contradicted,
           max(last).2 AS said, min(w.first_ms) AS first_ms
    FROM ({_WORDS}) AS w
    GROUP BY prediction_id, name
"""  # noqa: S608  constants of this module
_IS_READABLE = is_readable("said", "truth", other_name="class", classes="classes")
_IS_NUMBER = f"({number_in('said')} IS NOT NULL)"
_OF_ENDPOINT = f"""
    WITH (
        SELECT groupArray((stream_version, toUnixTimestamp64Milli(at))) FROM (
            SELECT DISTINCT stream_version, at FROM domain_events
            WHERE workspace = {{workspace:String}} AND stream = {{endpoint_id:String}}
              AND type = 'endpoints.TrafficShifted.v1'
        )
    ) AS shifts, {spelled("said", "datatype")} AS truth
    SELECT name AS feedback_name, count() AS told, sum(s.messages) AS messages, sum(s.repetitions) AS repetitions,
           sum(s.corrections) AS corrections, sum(s.is_contradicted) AS contradicted,
           countIf(arrayExists(shift -> shift.1 > epoch AND shift.2 <= first_ms, shifts)) AS late,
           countIf(answers = 0) AS unanswered,
           countIf(answers > 0 AND {_IS_READABLE}) AS labels,
           countIf({_IS_NUMBER}) AS numbers,
           countIf(answers > 0 AND NOT {_IS_READABLE} AND NOT {_IS_NUMBER}) AS unreadable
    FROM (
        SELECT prediction_id, any(prediction_index.epoch) AS epoch, any(prediction_index.deployment_id) AS deployment_id
        FROM prediction_index
        WHERE workspace = {{workspace:String}} AND endpoint_id = {{endpoint_id:String}} AND role = 'primary'
          AND started_at_ms >= {{since_ms:Int64}}
        GROUP BY prediction_id
    ) AS served
    INNER JOIN ({_SAID}) AS s USING (prediction_id)
    LEFT JOIN (
        SELECT prediction_id, deployment_id, count() AS answers, any(prediction_datatype) AS datatype,
               any(prediction_class) AS class, any(o.version_id) AS version_id
        FROM observation_records AS o
        WHERE workspace = {{workspace:String}} AND endpoint_id = {{endpoint_id:String}}
          AND predicted_at_ms >= {{since_ms:Int64}}
          AND {HAS_ANSWER}
        GROUP BY prediction_id, deployment_id
    ) AS answered USING (prediction_id, deployment_id)
    LEFT ANY JOIN (
        SELECT version_id, classes FROM {CLASSES} WHERE workspace = {{workspace:String}}
    ) AS c USING (version_id)
    GROUP BY feedback_name ORDER BY feedback_name
"""  # noqa: S608  constants of this module
# The index of predictions is complete up to the watermark; of a later one it is not known yet whether anyone served it.
_OF_WORKSPACE = f"""
    SELECT name AS feedback_name, source, count() AS told, sum(w.messages) AS messages,
           messages - corrections - told AS repetitions, sum(w.corrections) AS corrections,
           countIf(began_ms <= {{known_until_ms:Int64}} AND prediction_id NOT IN (
               SELECT prediction_id FROM prediction_index
               WHERE workspace = {{workspace:String}} AND started_at_ms >= {{since_ms:Int64}} - 1000
           )) AS orphans
    FROM (SELECT *, toInt64OrZero(substring(prediction_id, 1, 13)) AS began_ms FROM ({_WORDS})) AS w
    GROUP BY feedback_name, source ORDER BY feedback_name, source
"""  # noqa: S608  constants of this module


class FeedbackOnEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What was reported under one name of an endpoint's predictions.

    `told` counts the predictions that have feedback, `messages` all that was reported of them: `repetitions` of the
    last value from the same source, and `corrections` of it. The others count predictions: `contradicted` are those for
    which two sources report different values, `late` those whose first feedback came after the endpoint's traffic had
    changed again, too late for a gate. Those `unanswered` have no captured answer that a label could be compared with.

    The last three count predictions by what their last feedback can be used for: `labels` are values of the answer's
    data type, or one of its classes; `numbers` are of use to gates on losses and ratings, whatever the answer is, also
    of predictions without one. An integer may be both. What is neither, beside an answer, is `unreadable`.
    """

    feedback_name: str
    told: int
    messages: int
    repetitions: int
    corrections: int
    contradicted: int
    late: int
    unanswered: int
    labels: int
    numbers: int
    unreadable: int


class EndpointFeedback(msgspec.Struct, frozen=True, kw_only=True):
    """By name. The watermark is that of requests and observations; feedback may always come later."""

    items: list[FeedbackOnEndpoint]
    watermark: Watermark


class FeedbackOfSource(msgspec.Struct, frozen=True, kw_only=True):
    """What one source reported under one name, of all predictions of the workspace.

    `told` counts the predictions that have feedback, `messages` all that was reported of them, `repetitions` and
    `corrections` those that repeat or change the source's last value. `orphans` are predictions that no request record
    knows: the id is wrong, of another workspace, or older than the records that are kept.
    """

    feedback_name: str
    source: str
    told: int
    messages: int
    repetitions: int
    corrections: int
    orphans: int


class WorkspaceFeedback(msgspec.Struct, frozen=True, kw_only=True):
    """By name and source. Predictions after the watermark of requests are no orphans yet."""

    items: list[FeedbackOfSource]
    watermark: Watermark


async def feedback_on_endpoint(
    reader: Reader, endpoint_id: str, *, workspace: str, since_ms: int | None
) -> EndpointFeedback:
    """Count the feedback on an endpoint's predictions since a time (Unix ms; by default an hour ago)."""
    parameters = {"workspace": workspace, "endpoint_id": endpoint_id, "since_ms": _since(reader, since_ms)}
    rows, marks = await asyncio.gather(
        reader.select(_OF_ENDPOINT, parameters),
        endpoint_watermark(reader, ("requests", "observations"), workspace=workspace, endpoint_id=endpoint_id),
    )
    return EndpointFeedback(
        items=[FeedbackOnEndpoint(**row) for row in rows],
        watermark=combined([marks["requests"], marks["observations"]]),
    )


async def feedback_of_workspace(reader: Reader, *, workspace: str, since_ms: int | None) -> WorkspaceFeedback:
    """Count the feedback on a workspace's predictions since a time (Unix ms; by default an hour ago)."""
    mark = (await watermarks(reader, ("requests",)))["requests"]
    parameters = {
        "workspace": workspace,
        "since_ms": _since(reader, since_ms),
        "known_until_ms": -1 if mark.watermark_ms is None else mark.watermark_ms,
    }
    rows = await reader.select(_OF_WORKSPACE, parameters)
    return WorkspaceFeedback(items=[FeedbackOfSource(**row) for row in rows], watermark=mark)


def _since(reader: Reader, since_ms: int | None) -> int:
    now_ms = reader.now_ms()
    if since_ms is None:
        return now_ms - _HOUR_MS
    if not now_ms - _MAX_MS <= since_ms <= now_ms:
        raise BadQuery(
            f"{since_ms} is not a time of the last 31 days",
            field="since_ms",
            remedy="send Unix milliseconds; feedback is kept for 30 days unless the API's operator changed it",
        )
    return since_ms
