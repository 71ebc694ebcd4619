"""Summaries of features, merged into windows."""

import math
from typing import Any

import msgspec

from projections.errors import BadQuery
from projections.feature_summaries.categories import MAX_CATEGORIES
from projections.feature_summaries.scopes import MINUTE_MS
from projections.reading import Reader
from projections.watermarks.queries import endpoint_watermark
from schemas.feature_summaries import AskFeatureSummaries, FeatureSummaries, FeatureSummary

MAX_WINDOWS = 2_000
MAX_WINDOW_MS = 24 * 60 * MINUTE_MS
MAX_ITEMS = 10_000
MAX_ENTRIES = 500_000
"""Bins and categories of all items together: some 10 MB of JSON."""
_MAX_MS = 4_102_444_800_000
_SUMS = ("sum", "sum_of_squares", "minimum", "maximum")

# Sorted sums: the same parts give the same floats, in whatever order threads read them.
_WINDOWS = f"""
    SELECT *, sum(length(bin_counts) + length(category_counts)) OVER () AS entries FROM (
        SELECT intDiv(minute_ms, {{window_ms:Int64}}) * {{window_ms:Int64}} AS start_ms, deployment_id, version_id,
               feature, kind, sum(s.values) AS values, sum(s.missing) AS missing, sum(s.infinite) AS infinite,
               sum(s.unreadable) AS unreadable, sum(s.cut) AS cut,
               arraySum(arraySort(groupArray(s.sum_of_values))) AS sum,
               arraySum(arraySort(groupArray(s.sum_of_squares))) AS sum_of_squares,
               min(s.minimum) AS minimum, max(s.maximum) AS maximum,
               sumMap(s.bins) AS bin_counts, sumMap(s.categories) AS counted,
               mapFromArrays(
                   arraySlice(arraySort(c -> (CRC32(c), c), mapKeys(counted)) AS first, 1, {MAX_CATEGORIES}),
                   arrayMap(c -> counted[c], arraySlice(first, 1, {MAX_CATEGORIES}))) AS category_counts,
               if(kind = 'category', values - arraySum(mapValues(category_counts)), 0) AS other
        FROM feature_summaries AS s FINAL
        WHERE workspace = {{workspace:String}} AND endpoint_id = {{endpoint_id:String}}
          AND minute_ms >= {{from_ms:Int64}} AND minute_ms < {{to_ms:Int64}}
          AND ({{deployment_id:String}} = '' OR deployment_id = {{deployment_id:String}})
          AND (empty({{features:Array(String)}}) OR feature IN {{features:Array(String)}})
        GROUP BY start_ms, deployment_id, version_id, feature, kind
        ORDER BY start_ms, deployment_id, version_id, feature, kind
        LIMIT {MAX_ITEMS + 1}
    )
    SETTINGS do_not_merge_across_partitions_select_final = 1
"""  # noqa: S608  our own numbers
_ANSWER = f"""
    SELECT start_ms, deployment_id, version_id, feature, kind, values, missing, infinite, unreadable, cut, sum,
           sum_of_squares, minimum, maximum, other, entries,
           if(entries > {MAX_ENTRIES}, [], mapKeys(bin_counts)) AS bins,
           if(entries > {MAX_ENTRIES}, [], mapValues(bin_counts)) AS counts,
           if(entries > {MAX_ENTRIES}, map(), category_counts) AS categories
    FROM ({_WINDOWS}) ORDER BY start_ms, deployment_id, version_id, feature, kind
"""  # noqa: S608  our own text


async def summaries_of_endpoint(
    reader: Reader, endpoint_id: str, *, workspace: str, asked: AskFeatureSummaries
) -> FeatureSummaries:
    """Return the windows between two times.

    The watermark is read first: what arrives meanwhile is after it.

    Raises:
        BadQuery: the times or the length are none, or the answer would be too large.
    """
    from_ms, to_ms = check_windows(asked)
    parameters = {
        "workspace": workspace,
        "endpoint_id": endpoint_id,
        "from_ms": from_ms,
        "to_ms": to_ms,
        "window_ms": asked.window_ms,
        "deployment_id": asked.deployment_id or "",
        "features": list(asked.features),
    }
    marks = await endpoint_watermark(reader, ("observations",), workspace=workspace, endpoint_id=endpoint_id)
    rows = await reader.select(_ANSWER, parameters)
    _check_size(rows)
    return FeatureSummaries(items=[_summary(row) for row in rows], watermark=marks["observations"])


def check_windows(asked: AskFeatureSummaries) -> tuple[int, int]:
    """Return the beginning of the first window and the end of the last one, or refuse what is asked."""
    length_ms = asked.window_ms
    if not MINUTE_MS <= length_ms <= MAX_WINDOW_MS or length_ms % MINUTE_MS:
        raise BadQuery(
            f"{length_ms} ms is not a valid window length",
            field="window_ms",
            remedy=f"give whole minutes, {MINUTE_MS} to {MAX_WINDOW_MS}",
        )
    for field, time_ms in (("from_ms", asked.from_ms), ("to_ms", asked.to_ms)):
        if not 0 <= time_ms <= _MAX_MS:
            raise BadQuery(f"{time_ms} is not a valid time", field=field, remedy="give Unix milliseconds")
    if asked.to_ms <= asked.from_ms:
        raise BadQuery("to_ms is not after from_ms", field="to_ms", remedy="give a later time")
    from_ms, to_ms = asked.from_ms // length_ms * length_ms, -(-asked.to_ms // length_ms) * length_ms
    if (to_ms - from_ms) // length_ms > MAX_WINDOWS:
        raise BadQuery(
            f"windows of {length_ms} ms from {asked.from_ms} to {asked.to_ms} are more than {MAX_WINDOWS}",
            field="window_ms",
            remedy="ask for longer windows or less time",
        )
    return from_ms, to_ms


def _check_size(rows: list[dict[str, Any]]) -> None:
    entries = rows[0]["entries"] if rows else 0
    if len(rows) > MAX_ITEMS:
        raise _too_large(f"{MAX_ITEMS} summaries")
    if entries > MAX_ENTRIES:
        raise _too_large(f"{MAX_ENTRIES} bins and categories")


def _too_large(than: str) -> BadQuery:
    return BadQuery(
        f"the answer would have more than {than}",
        field="features",
        remedy="name fewer features or one deployment, or ask for longer windows or less time",
    )


def _summary(row: dict[str, Any]) -> FeatureSummary:
    del row["entries"]
    is_number = row["kind"] == "number" and row["values"] > 0
    sums = {name: row[name] if is_number and math.isfinite(row[name]) else None for name in _SUMS}
    return msgspec.convert({**row, **sums}, FeatureSummary)
