"""Requests, errors by class and latency of an endpoint over time."""

import asyncio

import msgspec

from projections.errors import BadQuery
from projections.reading import Reader
from projections.rollups.reading import rolled_up, since
from projections.rollups.statements import REQUESTS
from projections.watermarks.queries import endpoint_watermark
from schemas.measurement import Watermark

_HOUR_MS = 3_600_000
_MAX_BUCKETS = 2_000
_MAX_BUCKET_MS = 366 * 24 * _HOUR_MS
_METRICS = """
    SELECT intDiv(start_ms, {bucket_ms:Int64}) * {bucket_ms:Int64} AS bucket_ms, deployment_id,
           any(r.version) AS version, epoch, sum(r.requests) AS requests, sumMap(error_classes) AS errors,
           quantilesExactWeightedArray(0.5, 0.95, 0.99)(mapKeys(durations_ms), mapValues(durations_ms)) AS latencies_ms
    FROM <requests> AS r
    GROUP BY bucket_ms, deployment_id, epoch
    ORDER BY bucket_ms, epoch, deployment_id
"""


_IN_HAND = """
    SELECT bucket_ms, deployment_id, measure, sum(mean_of_instance) AS mean
    FROM (
        SELECT intDiv(sampled_at_ms, {bucket_ms:Int64}) * {bucket_ms:Int64} AS bucket_ms, deployment_id, subject_id,
               measure, avg(value) AS mean_of_instance
        FROM telemetry_samples FINAL
        WHERE workspace = {workspace:String} AND endpoint_id = {endpoint_id:String} AND subject = 'instance'
          AND measure IN ('in_flight', 'queue_depth') AND sampled_at_ms >= {since_ms:Int64}
        GROUP BY bucket_ms, deployment_id, subject_id, measure
    )
    GROUP BY bucket_ms, deployment_id, measure
    SETTINGS do_not_merge_across_partitions_select_final = 1
"""


class Bucket(msgspec.Struct, frozen=True, kw_only=True):
    """One span of time of one deployment under one epoch. `errors` counts by class.

    `in_flight` and `queue_depth` are means over the span, of all the deployment's instances together as the agents
    sampled them; null where no one did.
    """

    bucket_ms: int
    deployment_id: str
    version: str
    epoch: int
    requests: int
    errors: dict[str, int]
    p50_ms: float
    p95_ms: float
    p99_ms: float
    in_flight: float | None = None
    queue_depth: float | None = None


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """Buckets in order of time, the first one whole. Those after the watermark may still grow.

    Durations have a resolution of 0.8 %. Buckets of whole minutes reach back for as long as roll-ups are kept, others
    for as long as records of requests are.
    """

    items: list[Bucket]
    watermark: Watermark


async def metrics_of_endpoint(
    reader: Reader, endpoint_id: str, *, workspace: str, since_ms: int | None, bucket_ms: int
) -> Metrics:
    """Return the metrics since a time (Unix ms; by default an hour ago)."""
    since_ms = check_buckets(reader.now_ms(), since_ms, bucket_ms)
    parameters = {"workspace": workspace, "endpoint_id": endpoint_id, "since_ms": since_ms, "bucket_ms": bucket_ms}
    sql = _METRICS.replace("<requests>", since(REQUESTS, bucket_ms=bucket_ms))
    until = await rolled_up(reader)
    rows, in_hand, marks = await asyncio.gather(
        reader.select(sql, parameters | until),
        reader.select(_IN_HAND, parameters),
        endpoint_watermark(reader, ("requests",), workspace=workspace, endpoint_id=endpoint_id),
    )
    means: dict[tuple[object, object], dict[str, object]] = {}
    for row in in_hand:
        means.setdefault((row["bucket_ms"], row["deployment_id"]), {})[row["measure"]] = row["mean"]
    items = [_bucket({**row, **means.get((row["bucket_ms"], row["deployment_id"]), {})}) for row in rows]
    return Metrics(items=items, watermark=marks["requests"])


def check_buckets(now_ms: int, since_ms: int | None, bucket_ms: int) -> int:
    """Return the beginning of the first bucket, or refuse too many buckets."""
    since_ms = now_ms - _HOUR_MS if since_ms is None else since_ms
    if not 1 <= bucket_ms <= _MAX_BUCKET_MS:
        raise BadQuery(
            f"{bucket_ms} ms is not a valid bucket length", field="bucket_ms", remedy=f"give 1 to {_MAX_BUCKET_MS}"
        )
    if not 0 <= since_ms <= now_ms + _MAX_BUCKET_MS:
        raise BadQuery(f"{since_ms} is not a valid time", field="since_ms", remedy="give Unix milliseconds")
    if (now_ms - since_ms) // bucket_ms > _MAX_BUCKETS:
        raise BadQuery(
            f"buckets of {bucket_ms} ms since {since_ms} are more than {_MAX_BUCKETS}",
            field="bucket_ms",
            remedy="ask for longer buckets or a later since_ms",
        )
    return since_ms // bucket_ms * bucket_ms


def _bucket(row: dict[str, object]) -> Bucket:
    latencies = row.pop("latencies_ms")
    p50, p95, p99 = latencies if isinstance(latencies, list | tuple) else ()
    return msgspec.convert({**row, "p50_ms": p50, "p95_ms": p95, "p99_ms": p99}, Bucket)
