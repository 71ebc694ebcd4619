from control_plane.maintenance.aggregate import MAINTENANCES, Maintenance, announce, begin, end
from control_plane.maintenance.commands import AnnounceMaintenance, BeginMaintenance, EndMaintenance
from control_plane.maintenance.errors import MaintenanceNotBegunError, MaintenanceOverError
from schemas.envelope import rfc3339
from schemas.events.maintenance import MaintenanceAnnounced, MaintenanceBegun, MaintenanceEnded
from tests.support.spec import BEGAN_MS, Given

ANNOUNCED = MaintenanceAnnounced(
    endpoint_id="endpoint-1",
    endpoint_name="digits",
    starts_at=rfc3339(BEGAN_MS + 60_000),
    ends_at=rfc3339(BEGAN_MS + 3_660_000),
    reason="new disks",
)
BEGUN = MaintenanceBegun(endpoint_id="endpoint-1", reason="on time")
ENDED = MaintenanceEnded(endpoint_id="endpoint-1", reason="disks work")


def given(*events: MaintenanceAnnounced | MaintenanceBegun | MaintenanceEnded) -> Given[Maintenance]:
    return Given(MAINTENANCES, *events)


def test_an_announcement_says_from_when_to_when() -> None:
    command = AnnounceMaintenance(endpoint="digits", reason="new disks", starts_in_s=60, lasts_s=3_600)

    assert announce(command, endpoint_id="endpoint-1", now_ms=BEGAN_MS) == [ANNOUNCED]


def test_what_was_announced_begins_once() -> None:
    command = BeginMaintenance(reason="on time")

    given(ANNOUNCED).when(lambda state: begin(state, command)).then(BEGUN)
    given(ANNOUNCED, BEGUN).when(lambda state: begin(state, command)).then_nothing()


def test_what_has_begun_ends_once() -> None:
    command = EndMaintenance(reason="disks work")

    given(ANNOUNCED, BEGUN).when(lambda state: end(state, command)).then(ENDED)
    given(ANNOUNCED, BEGUN, ENDED).when(lambda state: end(state, command)).then_nothing()


def test_what_has_not_begun_does_not_end() -> None:
    command = EndMaintenance(reason="disks work")

    given(ANNOUNCED).when(lambda state: end(state, command)).then_refused(MaintenanceNotBegunError, "has not begun")


def test_what_is_over_does_not_begin_again() -> None:
    command = BeginMaintenance(reason="once more")

    given(ANNOUNCED, BEGUN, ENDED).when(lambda state: begin(state, command)).then_refused(
        MaintenanceOverError, "has ended"
    )


def test_the_state_shows_when_it_began_and_ended() -> None:
    state = given(ANNOUNCED, BEGUN, ENDED).state

    assert (state.phase, state.begun_at, state.ended_at) == (
        "ended",
        rfc3339(BEGAN_MS + 2_000),
        rfc3339(BEGAN_MS + 3_000),
    )
