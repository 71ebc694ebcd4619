"""How often an endpoint's versions were right, as far as the truth is known by now."""

import asyncio

import msgspec

from projections.reading import Reader
from projections.rollups.reading import rolled_up, since
from projections.rollups.statements import LABELS
from projections.serving_metrics.queries import check_buckets
from projections.watermarks.queries import endpoint_watermark
from projections.watermarks.watermark import combined
from schemas.measurement import Watermark

# Windows go by the time of the request, so a label that comes hours later counts where its prediction was made.
_QUALITY = """
    SELECT intDiv(start_ms, {bucket_ms:Int64}) * {bucket_ms:Int64} AS bucket_ms, deployment_id, version,
           name AS feedback_name, sum(r.labelled) AS labelled, sum(r.labelled - r.wrong) AS correct,
           sum(r.unreadable) AS unreadable
    FROM <labels> AS r
    WHERE {feedback_name:String} = '' OR name = {feedback_name:String}
    GROUP BY bucket_ms, deployment_id, version, feedback_name
    ORDER BY bucket_ms, version, deployment_id, feedback_name
"""


class QualityBucket(msgspec.Struct, frozen=True, kw_only=True):
    """One span of time of one deployment: how many labels there are, and the share that agrees with the answer.

    A label that is no value of the answer's data type, or none of its classes, is `unreadable`, and neither right nor
    wrong. Without any other there is no accuracy.
    """

    bucket_ms: int
    deployment_id: str
    version: str
    feedback_name: str
    labelled: int
    correct: int
    accuracy: float | None
    unreadable: int


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """Buckets in order of time. The watermark is that of requests and observations; feedback may always come later.

    Buckets of whole minutes reach back for as long as roll-ups are kept, others for as long as captured answers are.
    """

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
    sql = _QUALITY.replace("<labels>", since(LABELS, bucket_ms=bucket_ms))
    until = await rolled_up(reader)
    rows, marks = await asyncio.gather(
        reader.select(sql, parameters | until),
        endpoint_watermark(reader, ("requests", "observations"), workspace=workspace, endpoint_id=endpoint_id),
    )
    items = [
        QualityBucket(**row, accuracy=row["correct"] / row["labelled"] if row["labelled"] else None) for row in rows
    ]
    return Quality(items=items, watermark=combined([marks["requests"], marks["observations"]]))
