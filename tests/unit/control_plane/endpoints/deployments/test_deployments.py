import pytest

from control_plane.endpoints import errors
from control_plane.endpoints.aggregate import NO_ENDPOINT, Endpoint
from control_plane.endpoints.deployments import decisions
from control_plane.endpoints.deployments.commands import AddDeployment, PlaceDeployment, RemoveDeployment
from control_plane.endpoints.resources import ENDPOINTS
from schemas.events.endpoints import DeploymentPlaced, DeploymentRemoved
from tests.support.builders import (
    BASELINE,
    CANDIDATE,
    deployable,
    deployment_added,
    endpoint_with_two,
    serving_endpoint,
)
from tests.support.spec import Given


def given(*events: object) -> Given[Endpoint]:
    return Given(ENDPOINTS, *events)  # type: ignore[arg-type]


def test_a_deployment_needs_at_least_one_instance() -> None:
    with pytest.raises(errors.InvalidReplicasError, match="0 instances"):
        decisions.add_deployment(NO_ENDPOINT, AddDeployment(deployment_id="d", version=deployable(1), replicas=0))


def test_a_deployment_that_serves_is_not_removed() -> None:
    given(*serving_endpoint()).when(
        lambda state: decisions.remove_deployment(
            state, RemoveDeployment(deployment_id=BASELINE, reason="old"), by_rollout=None
        )
    ).then_refused(errors.DeploymentTakesTrafficError, "serves 100 %")


def test_a_deployment_without_traffic_is_removed() -> None:
    given(*endpoint_with_two()).when(
        lambda state: decisions.remove_deployment(
            state, RemoveDeployment(deployment_id=CANDIDATE, reason="unused"), by_rollout=None
        )
    ).then(DeploymentRemoved(deployment_id=CANDIDATE, reason="unused"))


def test_a_deployment_is_placed_once() -> None:
    command = PlaceDeployment(deployment_id=BASELINE, regions=("eu", "us"), reason="near the users")
    placed = DeploymentPlaced(deployment_id=BASELINE, regions=("eu", "us"), reason="near the users")
    endpoint = given(*endpoint_with_two())

    endpoint.when(lambda state: decisions.place_deployment(state, command)).then(placed)
    endpoint.happens(placed).when(lambda state: decisions.place_deployment(state, command)).then_nothing()
    assert endpoint.state.deployments.regions_of(BASELINE) == ("eu", "us")
    assert endpoint.state.deployments.regions_of(CANDIDATE) == ()


def test_a_deployment_that_is_not_there_is_not_placed() -> None:
    command = PlaceDeployment(deployment_id="d9", regions=("eu",), reason="x")

    given(*endpoint_with_two()).when(lambda state: decisions.place_deployment(state, command)).then_refused(
        errors.DeploymentNotFoundError, "d9"
    )


def test_a_deployment_that_begins_in_regions_is_placed_before_it_is_added() -> None:
    command = AddDeployment(deployment_id=CANDIDATE, version=deployable(2), replicas=1, regions=("eu",))
    placed = DeploymentPlaced(deployment_id=CANDIDATE, regions=("eu",), reason="placed from the start")

    given(*serving_endpoint()).when(lambda state: decisions.add_deployment(state, command)).then(
        placed, deployment_added(CANDIDATE, number=2)
    )


def test_regions_that_are_no_names_are_refused_from_the_start_too() -> None:
    command = AddDeployment(deployment_id=CANDIDATE, version=deployable(2), replicas=1, regions=("e u",))

    given(*serving_endpoint()).when(lambda state: decisions.add_deployment(state, command)).then_refused(
        errors.InvalidRegionsError, "e u", field="regions"
    )
