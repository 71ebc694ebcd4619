import msgspec
import pytest

from control_plane.endpoints import aggregate, errors
from control_plane.endpoints.commands import CreateEndpoint, RemoveEndpoint
from control_plane.endpoints.deployments.decisions import remove_endpoint
from control_plane.endpoints.resources import ENDPOINTS
from schemas.events.endpoints import (
    EVENTS,
    DeploymentPlaced,
    DeploymentRemoved,
    EndpointCreated,
    EndpointRemoved,
    EndpointReserved,
    InstanceAnnounced,
    InstanceFailed,
    InstanceFoundUnhealthy,
    InstanceWithdrawn,
)
from tests.support.builders import CANDIDATE, endpoint_with_two, serving_endpoint
from tests.support.spec import Given


def test_an_endpoint_is_created_with_its_salt() -> None:
    created = aggregate.create(CreateEndpoint(name="digits", description="Digits"), salt="s")

    assert created == [EndpointCreated(name="digits", description="Digits", salt="s")]


@pytest.mark.parametrize("name", ["", "-digits", "digits/1", "a b", "x" * 64])
def test_a_name_that_no_path_takes_is_refused(name: str) -> None:
    with pytest.raises(errors.InvalidNameError) as caught:
        aggregate.create(CreateEndpoint(name=name), salt="s")

    assert caught.value.field == "name"


def test_every_event_of_an_endpoint_is_followed_by_a_part_of_it() -> None:
    of_instances = {InstanceAnnounced, InstanceFailed, InstanceFoundUnhealthy, InstanceWithdrawn}

    assert aggregate.FOLDS.keys() == set(EVENTS.values()) - of_instances - {EndpointCreated, EndpointRemoved}


def test_a_removed_deployment_leaves_no_part_with_a_trace_of_it() -> None:
    given = Given(
        ENDPOINTS, *endpoint_with_two(), DeploymentPlaced(deployment_id=CANDIDATE, regions=("eu",), reason="x")
    )
    without = Given(ENDPOINTS, *serving_endpoint())

    given.happens(DeploymentRemoved(deployment_id=CANDIDATE, reason="unused"))

    assert msgspec.structs.replace(given.state, stream_version=without.state.stream_version) == without.state


def test_a_removed_endpoint_has_no_row_and_nothing_left_to_serve() -> None:
    given = Given(ENDPOINTS, *endpoint_with_two())

    removed = remove_endpoint(given.state, RemoveEndpoint(reason="unused"))
    given.happens(*removed)

    assert removed == [EndpointRemoved(reason="unused")]
    assert ENDPOINTS.row(given.state) is None
    assert (given.state.deployments.present, given.state.traffic.allocations) == ((), ())


def test_an_endpoint_that_a_rollout_owns_is_not_removed() -> None:
    given = Given(ENDPOINTS, *endpoint_with_two(), EndpointReserved(rollout_id="rollout-1"))

    with pytest.raises(errors.EndpointOwnedByRolloutError, match="rollout-1 owns the traffic"):
        remove_endpoint(given.state, RemoveEndpoint(reason="unused"))


def test_an_event_that_the_endpoint_does_not_know_moves_its_version_alone() -> None:
    given = Given(ENDPOINTS, *serving_endpoint())
    before = given.state

    given.happens(InstanceWithdrawn(endpoint_id="e", deployment_id="d", reason="x"))

    assert given.state == msgspec.structs.replace(before, stream_version=before.stream_version + 1)
