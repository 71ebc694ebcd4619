"""How long an endpoint was out of service, by day."""

import msgspec

from projections.reading import Reader

_BY_DAY = """
    SELECT toString(date) AS day,
           sum(dateDiff('millisecond', greatest(began, toDateTime64(date, 3, 'UTC')),
                        least(over, toDateTime64(date + 1, 3, 'UTC')))) / 1000 AS downtime_s
    FROM (
        SELECT assumeNotNull(max(begun_at)) AS began,
               ifNull(max(ended_at), fromUnixTimestamp64Milli({now_ms:Int64}, 'UTC')) AS over
        FROM downtime FINAL
        WHERE workspace = {workspace:String} AND endpoint_id = {endpoint_id:String}
        GROUP BY maintenance_id
        HAVING max(begun_at) IS NOT NULL AND over > began
    )
    ARRAY JOIN arrayMap(number -> toDate(began) + number, range(toUInt32(dateDiff('day', began, over) + 1))) AS date
    GROUP BY date
    HAVING downtime_s > 0
    ORDER BY date
"""


class DayOfDowntime(msgspec.Struct, frozen=True, kw_only=True):
    """A day, in UTC, and for how long the endpoint was out of service on it."""

    day: str
    downtime_s: float


class Downtime(msgspec.Struct, frozen=True, kw_only=True):
    """The days with downtime, oldest first, and the position of the log up to which they are complete."""

    items: list[DayOfDowntime]
    position: int


async def downtime_of_endpoint(reader: Reader, endpoint_id: str, *, workspace: str) -> Downtime:
    """Return an endpoint's downtime; maintenance that has not ended counts until now."""
    position = await reader.position()
    rows = await reader.select(_BY_DAY, {"workspace": workspace, "endpoint_id": endpoint_id, "now_ms": reader.now_ms()})
    return Downtime(items=[DayOfDowntime(**row) for row in rows], position=position)
