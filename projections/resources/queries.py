"""What instances, hosts and gateways use, and how busy they are: now, or over time."""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from projections.reading import Reader
from projections.serving_metrics.queries import check_buckets
from projections.watermarks.queries import watermarks
from schemas.measurement import Watermark
from schemas.observations import COUNTERS, GAUGES

# A counter's rate within one process: what it grew by, over the time between its first and last sample there.
_SAMPLES = """
    SELECT intDiv(sampled_at_ms, {bucket_ms:Int64}) * {bucket_ms:Int64} AS bucket_ms, deployment_id, subject,
           subject_id, boot_id, region, measure, avg(value) AS mean, max(value) - min(value) AS growth,
           max(sampled_at_ms) - min(sampled_at_ms) AS span_ms, max(sampled_at_ms) AS last_at_ms
    FROM telemetry_samples FINAL
    WHERE workspace = {workspace:String} AND endpoint_id = {endpoint_id:String} AND subject IN {subjects:Array(String)}
      AND sampled_at_ms >= {since_ms:Int64}
    GROUP BY bucket_ms, deployment_id, subject, subject_id, boot_id, region, measure
    ORDER BY bucket_ms, subject, subject_id, boot_id, measure
    SETTINGS do_not_merge_across_partitions_select_final = 1
"""
_MS = 1_000


class Resources(msgspec.Struct, frozen=True, kw_only=True):
    """One span of time of one process. A measure that no one took is null, never zero; rates need two samples."""

    bucket_ms: int
    subject: str
    subject_id: str
    boot_id: str
    region: str
    deployment_id: str
    last_at_ms: int
    cpu_percent: float | None = None
    memory_bytes: float | None = None
    memory_limit_bytes: float | None = None
    gpu_percent: float | None = None
    gpu_memory_bytes: float | None = None
    disk_free_bytes: float | None = None
    spool_bytes: float | None = None
    in_flight: float | None = None
    queue_depth: float | None = None
    model_memory_bytes: float | None = None
    kv_cache_fraction: float | None = None
    connections: float | None = None
    rates: dict[str, float] = {}
    rows_per_call: float | None = None


class ResourcesOverTime(msgspec.Struct, frozen=True, kw_only=True):
    """Buckets in order of time: means of gauges, and rates of counters by second. The last one may still grow."""

    items: list[Resources]
    watermark: Watermark


async def resources_of_endpoint(
    reader: Reader, endpoint_id: str, *, workspace: str, since_ms: int | None, bucket_ms: int
) -> ResourcesOverTime:
    """Return what the instances of an endpoint used since a time (Unix ms; by default an hour ago)."""
    where = {"workspace": workspace, "endpoint_id": endpoint_id, "subjects": ["instance"]}
    return await _resources(reader, where, since_ms=since_ms, bucket_ms=bucket_ms)


async def resources_of_machines(reader: Reader, *, since_ms: int | None, bucket_ms: int) -> ResourcesOverTime:
    """Return what hosts and gateways used."""
    where = {"workspace": "", "endpoint_id": "", "subjects": ["host", "gateway"]}
    return await _resources(reader, where, since_ms=since_ms, bucket_ms=bucket_ms)


async def _resources(
    reader: Reader, where: Mapping[str, Any], *, since_ms: int | None, bucket_ms: int
) -> ResourcesOverTime:
    since_ms = check_buckets(reader.now_ms(), since_ms, bucket_ms)
    parameters = {**where, "since_ms": since_ms, "bucket_ms": bucket_ms}
    rows, marks = await asyncio.gather(reader.select(_SAMPLES, parameters), watermarks(reader, ("telemetry",)))
    return ResourcesOverTime(items=gathered(rows), watermark=marks["telemetry"])


def gathered(rows: list[dict[str, Any]]) -> list[Resources]:
    """Put the measures of one span and process together."""
    spans: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        key = tuple(row[name] for name in ("bucket_ms", "subject", "subject_id", "boot_id", "region", "deployment_id"))
        spans.setdefault(key, []).append(row)
    return [_span(measures) for measures in spans.values()]


def _span(measures: list[dict[str, Any]]) -> Resources:
    first = measures[0]
    grown = {row["measure"]: row["growth"] for row in measures if row["measure"] in COUNTERS and row["span_ms"]}
    calls = grown.get("calls_total", 0.0)
    return Resources(
        **{name: first[name] for name in ("bucket_ms", "subject", "subject_id", "boot_id", "region", "deployment_id")},
        last_at_ms=max(row["last_at_ms"] for row in measures),
        **{row["measure"]: row["mean"] for row in measures if row["measure"] in GAUGES},
        rates={
            row["measure"].replace("_total", "_per_s"): row["growth"] / (row["span_ms"] / _MS)
            for row in measures
            if row["measure"] in grown
        },
        rows_per_call=grown["rows_total"] / calls if calls and "rows_total" in grown else None,
    )
