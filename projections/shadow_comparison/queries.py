"""What a shadow would have answered: its records beside those of the requests that it copies, pair by pair."""

import asyncio

import msgspec

from projections.errors import BadQuery
from projections.reading import Reader
from projections.watermarks.queries import endpoint_watermark
from projections.watermarks.watermark import combined
from schemas.measurement import Watermark

MAX_PAIRS = 1_000
_HOUR_MS = 3_600_000

# A pair is one request and its copy: the same prediction id, another role. Answers are compared where both were kept;
# numbers may differ by the tolerance. A request that was tried again after a crash of the shipper stands there once.
_PAIRS = """
    WITH served AS (
        SELECT prediction_id, prediction_hash, role, deployment_id, any(request_records.version) AS version,
               any(request_records.is_error) AS is_error, any(request_records.duration_ms) AS duration_ms,
               any(request_records.started_at_ms) AS begun_at_ms
        FROM request_records
        WHERE workspace = {workspace:String} AND endpoint_id = {endpoint_id:String}
          AND role IN ('primary', 'shadow') AND kind IN ('prediction', '') AND deployment_id != ''
          AND ended_at_ms >= {since_ms:Int64} AND started_at_ms >= {since_ms:Int64}
        GROUP BY prediction_id, prediction_hash, role, deployment_id
    ), observed AS (
        SELECT prediction_hash, deployment_id, any(observation_records.answer) AS told,
               any(if(prediction_datatype = 'BYTES', NULL, toFloat64OrNull(observation_records.answer))) AS number
        FROM observation_records
        WHERE workspace = {workspace:String} AND endpoint_id = {endpoint_id:String}
          AND predicted_at_ms >= {since_ms:Int64} - 1000 AND answer != ''
        GROUP BY prediction_hash, deployment_id
    ), shadows AS (
        SELECT served.prediction_id AS prediction_id, served.prediction_hash AS prediction_hash,
               served.deployment_id AS shadow_deployment_id, served.version AS shadow_version,
               served.is_error AS is_shadow_error, served.duration_ms AS shadow_ms, observed.told AS shadow_answer,
               observed.number AS shadow_number
        FROM served LEFT JOIN observed USING (prediction_hash, deployment_id)
        WHERE served.role = 'shadow'
    ), requests AS (
        SELECT served.prediction_id AS prediction_id, served.deployment_id AS deployment_id,
               served.version AS version, served.is_error AS is_error, served.duration_ms AS duration_ms,
               served.begun_at_ms AS started_at_ms, observed.told AS answer, observed.number AS number
        FROM served LEFT JOIN observed USING (prediction_hash, deployment_id)
        WHERE served.role = 'primary'
    ), pairs AS (
        SELECT *, answer != '' AND shadow_answer != '' AS is_compared,
               is_compared AND (answer = shadow_answer
                   OR ifNull(abs(number - shadow_number) <= {tolerance:Float64}, 0)
               ) AS is_same
        FROM requests INNER JOIN shadows USING prediction_id
    )
"""
_SUMMARY = (
    _PAIRS  # noqa: S608  constants of this module
    + """
    SELECT deployment_id, any(version) AS version, shadow_deployment_id, any(shadow_version) AS shadow_version,
           count() AS pairs, sum(is_compared) AS compared, sum(is_same) AS same,
           sum(is_error) AS errors, sum(is_shadow_error) AS shadow_errors,
           quantile(0.5)(duration_ms) AS p50_ms, quantile(0.99)(duration_ms) AS p99_ms,
           quantile(0.5)(shadow_ms) AS shadow_p50_ms, quantile(0.99)(shadow_ms) AS shadow_p99_ms,
           quantile(0.5)(shadow_ms - duration_ms) AS p50_difference_ms
    FROM pairs GROUP BY deployment_id, shadow_deployment_id ORDER BY pairs DESC, shadow_deployment_id, deployment_id
"""
)
_LISTED = (
    _PAIRS  # noqa: S608  constants of this module
    + """
    SELECT prediction_id, started_at_ms, version, shadow_version, answer, shadow_answer, is_compared, is_same,
           duration_ms, shadow_ms, is_error, is_shadow_error
    FROM pairs
    WHERE NOT {only_different:Bool} OR (is_compared AND NOT is_same)
    ORDER BY started_at_ms DESC, prediction_id LIMIT {limit:UInt32}
"""
)


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A version and its shadow over the requests that both got; `agreement` is None where no pair was compared."""

    deployment_id: str
    version: str
    shadow_deployment_id: str
    shadow_version: str
    pairs: int
    compared: int
    same: int
    agreement: float | None
    errors: int
    shadow_errors: int
    p50_ms: float
    p99_ms: float
    shadow_p50_ms: float
    shadow_p99_ms: float
    p50_difference_ms: float


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """One request and its copy; an answer is empty where the capture policy did not keep it."""

    prediction_id: str
    started_at_ms: int
    version: str
    shadow_version: str
    answer: str
    shadow_answer: str
    is_compared: bool
    is_same: bool
    duration_ms: float
    shadow_ms: float
    is_error: bool
    is_shadow_error: bool


class Comparisons(msgspec.Struct, frozen=True, kw_only=True):
    """The watermark is that of requests and observations: what ended after it may not be there yet."""

    items: list[Comparison]
    pairs: list[Pair]
    watermark: Watermark


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """Since when (by default an hour ago), how far numbers may differ, and how many pairs are to be listed."""

    since_ms: int | None = None
    tolerance: float = 0.0
    limit: int = 20
    only_different: bool = True


async def compare_shadow(reader: Reader, endpoint_id: str, *, workspace: str, question: Question) -> Comparisons:
    """Compare an endpoint's versions with their shadows.

    Raises:
        BadQuery: the tolerance is negative, or more pairs are asked for than are listed.
    """
    if not 0 <= question.tolerance < float("inf"):
        raise BadQuery("a tolerance cannot be negative", field="tolerance", remedy="give 0 or more")
    if not 0 <= question.limit <= MAX_PAIRS:
        raise BadQuery(f"{question.limit} pairs are not listed", field="limit", remedy=f"give 0 to {MAX_PAIRS}")
    parameters = {
        "workspace": workspace,
        "endpoint_id": endpoint_id,
        "since_ms": reader.now_ms() - _HOUR_MS if question.since_ms is None else question.since_ms,
        "tolerance": question.tolerance,
        "limit": question.limit,
        "only_different": question.only_different,
    }
    marks = await endpoint_watermark(reader, ("requests", "observations"), workspace=workspace, endpoint_id=endpoint_id)
    summary, listed = await asyncio.gather(reader.select(_SUMMARY, parameters), reader.select(_LISTED, parameters))
    items = [Comparison(**row, agreement=row["same"] / row["compared"] if row["compared"] else None) for row in summary]
    return Comparisons(
        items=items,
        pairs=[msgspec.convert(row, Pair, strict=False) for row in listed],
        watermark=combined([marks["requests"], marks["observations"]]),
    )
