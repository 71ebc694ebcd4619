import pytest
from msgspec import Struct

from control_plane.endpoints import aggregate, errors
from control_plane.endpoints.aggregate import NO_ENDPOINT, Endpoint
from control_plane.endpoints.deployments.commands import RemoveDeployment
from control_plane.endpoints.deployments.decisions import remove_deployment
from control_plane.endpoints.shadow.commands import RemoveShadow, SetShadow
from control_plane.endpoints.shadow.decisions import remove_shadow, set_shadow
from control_plane.endpoints.traffic.commands import RestoreTraffic, SetTraffic
from control_plane.endpoints.traffic.decisions import restore_traffic, set_traffic
from control_plane.ports import EventContext
from schemas.events.endpoints import (
    EndpointReserved,
    ShadowRemoved,
    ShadowSet,
    TrafficShifted,
)
from tests.support.routing import added, created, shifted

SET = ShadowSet(deployment_id="d2", percent=10.0, reason="r")
READY = {"d1": 1, "d2": 1}


def given(*more: Struct) -> Endpoint:
    state = NO_ENDPOINT
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
        remove_deployment(given(SET), RemoveDeployment(deployment_id="d2", reason="r"), by_rollout=None)


def test_a_shadow_that_gets_traffic_stops_being_one() -> None:
    shift = SetTraffic(weights=(("d1", 90.0), ("d2", 10.0)), reason="r")
    traffic, end = set_traffic(given(SET), shift, ready=READY)
    assert isinstance(traffic, TrafficShifted)
    assert isinstance(end, ShadowRemoved)


def test_a_rollback_to_a_shadow_is_not_refused() -> None:
    state = given(shifted(d2=[(0, 10_000)]), shifted(d1=[(0, 10_000)]), SET)
    _, end = restore_traffic(state, RestoreTraffic(epoch=5, reason="r"), ready=READY)
    assert isinstance(end, ShadowRemoved)
