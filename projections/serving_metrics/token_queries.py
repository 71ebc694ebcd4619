"""What language models read and wrote over time: tokens, the times of streams, and how answers ended."""

import asyncio

import msgspec

from projections.reading import Reader
from projections.serving_metrics.queries import check_buckets
from projections.watermarks.queries import endpoint_watermark
from schemas.measurement import Watermark

# What is unknown stands as -1: a stream without usage, an answer that was no stream.
_TOKENS = """
    SELECT intDiv(captured_at_ms, {bucket_ms:Int64}) * {bucket_ms:Int64} AS bucket_ms, deployment_id, version_id,
           count() AS calls, countIf(first_token_ms >= 0) AS streams,
           sumIf(r.tokens_in, r.tokens_in > 0) AS tokens_in, sumIf(r.tokens_out, r.tokens_out > 0) AS tokens_out,
           quantilesIf(0.5, 0.95, 0.99)(first_token_ms, first_token_ms >= 0) AS first_tokens_ms,
           quantilesIf(0.5, 0.95, 0.99)(token_ms, token_ms >= 0) AS tokens_ms,
           sumMapIf(map(toString(finish_reason), toUInt64(1)), finish_reason != '') AS finish_reasons
    FROM observation_records AS r FINAL
    WHERE workspace = {workspace:String} AND endpoint_id = {endpoint_id:String} AND captured_at_ms >= {since_ms:Int64}
      AND (finish_reason != '' OR r.tokens_in >= 0)
    GROUP BY bucket_ms, deployment_id, version_id
    ORDER BY bucket_ms, deployment_id
    SETTINGS do_not_merge_across_partitions_select_final = 1
"""


class Quantiles(msgspec.Struct, frozen=True):
    """Milliseconds that half, 95 and 99 % of the calls took at most."""

    p50: float
    p95: float
    p99: float


class TokenBucket(msgspec.Struct, frozen=True, kw_only=True):
    """One span of time of one deployment.

    `first_token_ms` and `token_ms` are of streams alone, null where there was none. `finish_reasons` counts the calls
    by how they ended; `disconnected` are those whose caller left.
    """

    bucket_ms: int
    deployment_id: str
    version_id: str
    calls: int
    streams: int
    tokens_in: int
    tokens_out: int
    first_token_ms: Quantiles | None
    token_ms: Quantiles | None
    finish_reasons: dict[str, int]


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """Buckets in order of time. Those after the watermark may still grow; calls that no policy captured are not in."""

    items: list[TokenBucket]
    watermark: Watermark


async def tokens_of_endpoint(
    reader: Reader, endpoint_id: str, *, workspace: str, since_ms: int | None, bucket_ms: int
) -> Tokens:
    """Return what was read and written since a time (Unix ms; by default an hour ago)."""
    since_ms = check_buckets(reader.now_ms(), since_ms, bucket_ms)
    parameters = {"workspace": workspace, "endpoint_id": endpoint_id, "since_ms": since_ms, "bucket_ms": bucket_ms}
    rows, marks = await asyncio.gather(
        reader.select(_TOKENS, parameters),
        endpoint_watermark(reader, ("observations",), workspace=workspace, endpoint_id=endpoint_id),
    )
    return Tokens(items=[_bucket(row) for row in rows], watermark=marks["observations"])


def _bucket(row: dict[str, object]) -> TokenBucket:
    first, each = row.pop("first_tokens_ms"), row.pop("tokens_ms")
    return msgspec.convert({**row, "first_token_ms": _quantiles(first), "token_ms": _quantiles(each)}, TokenBucket)


def _quantiles(values: object) -> dict[str, object] | None:
    numbers = list(values) if isinstance(values, list | tuple) else []
    # Quantiles of nothing are not numbers.
    if not numbers or any(number != number for number in numbers):  # noqa: PLR0124 - NaN alone differs from itself
        return None
    return dict(zip(("p50", "p95", "p99"), numbers, strict=True))
