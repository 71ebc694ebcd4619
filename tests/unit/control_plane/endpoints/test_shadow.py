import pytest
from msgspec import Struct

from control_plane.endpoints import aggregate, errors
from control_plane.endpoints.aggregate import Endpoint
from control_plane.endpoints.assignment import choose_assignment_key
from control_plane.endpoints.commands import (
    ChooseAssignmentKey,
    RemoveDeployment,
    RemoveShadow,
    RestoreTraffic,
    SetShadow,
    SetTraffic,
)
from control_plane.endpoints.shadow import remove_shadow, set_shadow
from control_plane.ports import EventContext
from schemas.events.endpoints import (
    AssignmentKey,
    EndpointReserved,
    ShadowRemoved,
    ShadowSet,
    TrafficShifted,
)
from tests.support.routing import added, created, shifted

SET = ShadowSet(deployment_id="d2", percent=10.0, reason="r")
READY = {"d1": 1, "d2": 1}


def given(*more: Struct) -> Endpoint:
    state = Endpoint()
    for version, event in enumerate((created(), added("d1"), added("d2"), shifted(d1=[(0, 10_000)]), *more), 1):
        context = EventContext(
            stream="endpoint-1",
            version=version,
            event_id="event",
            actor="principal-1",
            at="2026-01-02T03:04:05.678Z",
            workspace="default",
        )
        state = aggregate.evolve(state, event, context)
    return state


def command(deployment_id: str = "d2", percent: float = 10.0) -> SetShadow:
    return SetShadow(deployment_id=deployment_id, percent=percent, reason="r")


def test_a_ready_deployment_without_traffic_becomes_the_shadow() -> None:
    assert set_shadow(given(), command(), ready=READY) == [SET]


def test_the_same_shadow_again_changes_nothing() -> None:
    assert set_shadow(given(SET), command(), ready=READY) == []


@pytest.mark.parametrize(
    ("wanted", "refusal"),
    [
        (command("d1"), errors.DeploymentTakesTrafficError),
        (command("d9"), errors.DeploymentNotFoundError),
        (command(percent=0), errors.InvalidShadowError),
        (command(percent=100.5), errors.InvalidShadowError),
        (command(percent=float("nan")), errors.InvalidShadowError),
    ],
)
def test_what_can_be_no_shadow_is_refused(wanted: SetShadow, refusal: type[Exception]) -> None:
    with pytest.raises(refusal):
        set_shadow(given(), wanted, ready=READY)


def test_a_deployment_that_is_not_ready_is_refused_unless_it_is_made_for_it() -> None:
    with pytest.raises(errors.DeploymentNotReadyError):
        set_shadow(given(), command(), ready={"d1": 1})
    assert set_shadow(given(), command(), ready=None) == [SET]


def test_under_a_rollout_a_shadow_may_be_removed_and_not_set() -> None:
    state = given(SET, EndpointReserved(rollout_id="rollout-1"))
    with pytest.raises(errors.EndpointOwnedByRolloutError):
        set_shadow(state, command(percent=5), ready=READY)
    assert remove_shadow(state, RemoveShadow(reason="r")) == [ShadowRemoved(deployment_id="d2", reason="r")]


def test_a_shadow_is_not_removed_as_a_deployment() -> None:
    with pytest.raises(errors.DeploymentIsShadowError):
        aggregate.remove_deployment(given(SET), RemoveDeployment(deployment_id="d2", reason="r"), by_rollout=None)


def test_a_shadow_that_gets_traffic_stops_being_one() -> None:
    shift = SetTraffic(weights=(("d1", 90.0), ("d2", 10.0)), reason="r")
    traffic, end = aggregate.set_traffic(given(SET), shift, ready=READY)
    assert isinstance(traffic, TrafficShifted)
    assert isinstance(end, ShadowRemoved)


def test_a_rollback_to_a_shadow_is_not_refused() -> None:
    state = given(shifted(d2=[(0, 10_000)]), shifted(d1=[(0, 10_000)]), SET)
    _, end = aggregate.restore_traffic(state, RestoreTraffic(epoch=5, reason="r"), ready=READY)
    assert isinstance(end, ShadowRemoved)


def choose(**key: str) -> list[Struct]:
    return choose_assignment_key(given(), ChooseAssignmentKey(key=AssignmentKey(**key), reason="r"))


def test_callers_may_be_told_apart_by_a_header_or_the_subject() -> None:
    assert choose(header="X-User-Id")
    assert choose(claim="sub")
    assert choose(header="X-Rollbook-Key") == []


@pytest.mark.parametrize(
    "key",
    [
        {},
        {"header": "x-a", "claim": "sub"},
        {"claim": "email"},
        *({"header": name} for name in ("authorization", "x-rollbook-role", "x-envoy-a", ":path", "a b", "")),
    ],
)
def test_what_tells_no_callers_apart_is_refused(key: dict[str, str]) -> None:
    with pytest.raises(errors.InvalidAssignmentKeyError):
        choose(**key)
