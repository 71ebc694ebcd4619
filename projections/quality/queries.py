"""How often an endpoint's versions were right, as far as the truth is known by now."""

import asyncio

import msgspec

from projections.reading import Reader
from projections.serving_metrics.queries import check_buckets
from projections.watermarks.queries import watermarks
from projections.watermarks.watermark import Watermark, combined

# A shadow's answer shares the prediction id, not the deployment: labels are for what the caller got.
# An answer that the capture policy withheld is neither right nor wrong.
# Windows go by the time of the request, so a label that comes hours later counts where its prediction was made.
_QUALITY = """
    SELECT intDiv(predicted_at_ms, {bucket_ms:Int64}) * {bucket_ms:Int64} AS bucket_ms, deployment_id, version,
           name AS feedback_name, count() AS labelled, countIf(answer = truth) AS correct
    FROM (
        SELECT prediction_hash, deployment_id, any(version) AS version,
               any(started_at_ms) AS predicted_at_ms
        FROM request_records
        WHERE workspace = {workspace:String} AND endpoint_id = {endpoint_id:String} AND role = 'primary'
          AND ended_at_ms >= {since_ms:Int64} AND started_at_ms >= {since_ms:Int64}
        GROUP BY prediction_hash, deployment_id
    ) AS served
    INNER JOIN (
        SELECT prediction_hash, deployment_id, any(answer_hash) AS answer
        FROM observation_records
        WHERE workspace = {workspace:String} AND endpoint_id = {endpoint_id:String}
          AND predicted_at_ms >= {since_ms:Int64} - 1000 AND (answer_hash != sipHash64('') OR status != 200)
        GROUP BY prediction_hash, deployment_id
    ) AS observed USING (prediction_hash, deployment_id)
    INNER JOIN (
        SELECT prediction_hash, name, argMax(truth_hash, recency) AS truth
        FROM feedback
        WHERE workspace = {workspace:String} AND predicted_at_ms >= {since_ms:Int64} - 1000
          AND ({feedback_name:String} = '' OR name = {feedback_name:String})
        GROUP BY prediction_hash, name
    ) AS told USING prediction_hash
    GROUP BY bucket_ms, deployment_id, version, feedback_name
    ORDER BY bucket_ms, version, deployment_id, feedback_name
"""


class QualityBucket(msgspec.Struct, frozen=True, kw_only=True):
    """One span of time of one deployment: how many labels there are, and the share that agrees with the answer."""

    bucket_ms: int
    deployment_id: str
    version: str
    feedback_name: str
    labelled: int
    correct: int
    accuracy: float


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """Buckets in order of time. The watermark is that of requests and observations; feedback may always come later."""

    items: list[QualityBucket]
    watermark: Watermark


async def quality_of_endpoint(
    reader: Reader,
    endpoint_id: str,
    *,
    workspace: str,
    feedback_name: str | None,
    since_ms: int | None,
    bucket_ms: int,
) -> Quality:
    """Return accuracy with its count since a time (Unix ms; by default an hour ago)."""
    parameters = {
        "workspace": workspace,
        "endpoint_id": endpoint_id,
        "since_ms": check_buckets(reader.now_ms(), since_ms, bucket_ms),
        "bucket_ms": bucket_ms,
        "feedback_name": feedback_name or "",
    }
    rows, marks = await asyncio.gather(
        reader.select(_QUALITY, parameters), watermarks(reader, ("requests", "observations"))
    )
    items = [QualityBucket(**row, accuracy=row["correct"] / row["labelled"]) for row in rows]
    return Quality(items=items, watermark=combined([marks["requests"], marks["observations"]]))
