import msgspec

from projections.downtime.queries import downtime_of_endpoint
from projections.downtime.rows import DOWNTIME
from projections.messages import Message
from projections.store import ClickHouseStore
from projections.views import projector_of
from schemas.events.maintenance import MaintenanceAnnounced, MaintenanceBegun, MaintenanceEnded
from schemas.topics import REGISTRY_EVENTS
from tests.integration.projections.conftest import reader_at, sink_into
from tests.support.read_side_messages import ENDPOINT, WORKSPACE, event_message

MIDNIGHT_MS = 1_795_046_400_000
HOUR_MS = 3_600_000
BEGUN = MaintenanceBegun(endpoint_id=ENDPOINT, reason="on time")
ENDED = MaintenanceEnded(endpoint_id=ENDPOINT, reason="done")


def recorded(event: msgspec.Struct, number: int, *, position: int, at_ms: int) -> Message:
    stream = f"maintenance-01900000-0000-7000-8000-{number:012d}"
    return event_message(event, stream=stream, version=position, position=position, at_ms=at_ms)


def rows_of(event: msgspec.Struct) -> list[dict[str, object]]:
    parts = projector_of(REGISTRY_EVENTS).project(recorded(event, 1, position=9, at_ms=MIDNIGHT_MS))
    return [dict(row) for part in parts if part.table is DOWNTIME for row in list(part.values)]


def test_the_beginning_and_the_end_are_a_row_each() -> None:
    (began,), (ended,) = rows_of(BEGUN), rows_of(ENDED)

    assert (began["endpoint_id"], began["begun_at"], began["ended_at"]) == (ENDPOINT, MIDNIGHT_MS, None)
    assert (ended["endpoint_id"], ended["begun_at"], ended["ended_at"]) == (ENDPOINT, None, MIDNIGHT_MS)


def test_an_announcement_is_no_downtime() -> None:
    announced = MaintenanceAnnounced(
        endpoint_id=ENDPOINT,
        endpoint_name="digits",
        starts_at="2026-01-02T03:04:05.678Z",
        ends_at="2026-01-02T04:04:05.678Z",
        reason="new disks",
    )

    assert rows_of(announced) == []


async def test_downtime_is_counted_by_day_and_until_now_where_it_has_not_ended(store: ClickHouseStore) -> None:
    before_midnight, now_ms = MIDNIGHT_MS - HOUR_MS, MIDNIGHT_MS + 5 * HOUR_MS
    messages = [
        recorded(BEGUN, 1, position=1, at_ms=before_midnight),
        recorded(ENDED, 1, position=2, at_ms=MIDNIGHT_MS + HOUR_MS),
        recorded(BEGUN, 2, position=3, at_ms=MIDNIGHT_MS + 4 * HOUR_MS),
    ]
    await sink_into(store, projector_of(REGISTRY_EVENTS)).consume(messages)

    downtime = await downtime_of_endpoint(reader_at(store, now_ms), ENDPOINT, workspace=WORKSPACE)

    by_day = {each.day: each.downtime_s for each in downtime.items}
    assert by_day == {"2026-11-18": 3_600.0, "2026-11-19": 7_200.0}
    assert downtime.position == 3
