"""Adapters are deployed beside their parent, and keep it."""

import msgspec

from control_plane.endpoints.aggregate import Endpoint
from control_plane.endpoints.deployments import decisions
from control_plane.endpoints.deployments.commands import AddDeployment, DeployableVersion, RemoveDeployment
from control_plane.endpoints.errors import DeploymentHasAdaptersError, ParentNotDeployedError
from control_plane.endpoints.resources import ENDPOINTS
from schemas.events.endpoints import DeploymentAdded, DeploymentRemoved
from schemas.events.registry import Artifact
from tests.support.builders import deployable
from tests.support.routing import added, created, shifted
from tests.support.spec import Given

ADAPTER = Artifact(digest="sha256:" + "1" * 64, size_bytes=1, format="lora", parent="version-1")


def adapter(number: int = 3) -> DeployableVersion:
    return msgspec.structs.replace(deployable(number), artifact=ADAPTER)


def adapter_added(deployment_id: str = "d3") -> DeploymentAdded:
    return msgspec.structs.replace(added(deployment_id, number=3), artifact=ADAPTER)


def endpoint() -> Given[Endpoint]:
    """Serve digits/2 from d2; digits/1, which has an adapter, is deployed beside it."""
    serving = shifted(d2=[(0, 10_000)])
    return Given(ENDPOINTS, created(), added("d1", number=1), added("d2", number=2), serving, adapter_added())


def removal(deployment_id: str) -> RemoveDeployment:
    return RemoveDeployment(deployment_id=deployment_id, reason="tidy")


def test_an_adapter_is_deployed_where_its_parent_is() -> None:
    command = AddDeployment(deployment_id="d4", version=adapter(), replicas=1)

    events = decisions.add_deployment(endpoint().state, command)

    assert [event.artifact for event in events if isinstance(event, DeploymentAdded)] == [ADAPTER]


def test_an_adapter_without_its_parent_is_refused() -> None:
    command = AddDeployment(deployment_id="d4", version=adapter(), replicas=1)

    Given(ENDPOINTS, created(), added("d2", number=2)).when(
        lambda state: decisions.add_deployment(state, command)
    ).then_refused(ParentNotDeployedError, "digits/3 is an adapter of the version version-1", field="version")


def test_a_parent_stays_while_it_has_adapters() -> None:
    endpoint().when(lambda state: decisions.remove_deployment(state, removal("d1"), by_rollout=None)).then_refused(
        DeploymentHasAdaptersError, "d1"
    )
    endpoint().when(lambda state: decisions.remove_deployment(state, removal("d1"), by_rollout="r")).then_nothing()


def test_a_parent_goes_once_its_adapters_are_gone_or_have_another_deployment_of_it() -> None:
    gone = DeploymentRemoved(deployment_id="d1", reason="tidy")

    for happened in (DeploymentRemoved(deployment_id="d3", reason="tidy"), added("d5", number=1)):
        endpoint().happens(happened).when(
            lambda state: decisions.remove_deployment(state, removal("d1"), by_rollout=None)
        ).then(gone)
