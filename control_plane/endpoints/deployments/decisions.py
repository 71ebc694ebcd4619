"""Which versions are available on the endpoint, and in which regions; none that is needed is removed."""

import msgspec

from control_plane.endpoints import errors
from control_plane.endpoints.aggregate import Endpoint
from control_plane.endpoints.commands import RemoveEndpoint
from control_plane.endpoints.deployments.adapters import adapters_run_beside_their_parent, has_adapters
from control_plane.endpoints.deployments.commands import AddDeployment, PlaceDeployment, RemoveDeployment
from control_plane.endpoints.deployments.regions import require_valid_regions
from control_plane.endpoints.traffic.ownership import require_owner
from schemas.events.endpoints import DeploymentAdded, DeploymentPlaced, DeploymentRemoved, EndpointRemoved

MAX_REGIONS = 32
_MAX_REPLICAS = 1_000


def add_deployment(state: Endpoint, command: AddDeployment) -> list[msgspec.Struct]:
    """Make a version available on the endpoint; it takes no traffic yet."""
    adapters_run_beside_their_parent(command.version, among=state.deployments.present)
    if not 1 <= command.replicas <= _MAX_REPLICAS:
        raise errors.InvalidReplicasError(
            f"a deployment cannot have {command.replicas} instances",
            field="replicas",
            remedy=f"give 1 to {_MAX_REPLICAS}",
        )
    added = DeploymentAdded(
        deployment_id=command.deployment_id,
        version=command.version.reference,
        artifact=command.version.artifact,
        signature=command.version.signature,
        golden=command.version.golden,
        replicas=command.replicas,
    )
    if not command.regions:
        return [added]
    # Placed first, so that no agent elsewhere ever sees it without its regions.
    return [_placed(command.deployment_id, command.regions, reason="placed from the start"), added]


def place_deployment(state: Endpoint, command: PlaceDeployment) -> list[msgspec.Struct]:
    """Say in which regions a deployment has its instances; agents elsewhere stop theirs."""
    require_deployment(state, command.deployment_id)
    if command.regions == state.deployments.regions_of(command.deployment_id):
        return []
    return [_placed(command.deployment_id, command.regions, reason=command.reason)]


def remove_endpoint(state: Endpoint, command: RemoveEndpoint) -> list[msgspec.Struct]:
    """Take all deployments away for good, with the endpoint; a rollout that owns the traffic has to end first."""
    require_owner(state, None)
    return [EndpointRemoved(reason=command.reason)]


def remove_deployment(state: Endpoint, command: RemoveDeployment, *, by_rollout: str | None) -> list[msgspec.Struct]:
    """Take a deployment away that serves nothing; a rollout that ends leaves a backup and a parent where they are."""
    require_owner(state, by_rollout)
    deployment = require_deployment(state, command.deployment_id)
    if has_adapters(deployment, among=state.deployments.present):
        if by_rollout is not None:
            return []
        raise errors.DeploymentHasAdaptersError(
            f"adapters run in deployment {command.deployment_id}", remedy="remove the deployments of its adapters first"
        )
    if command.deployment_id == state.failover.policy.backup_deployment_id:
        if by_rollout is not None:
            return []
        raise errors.DeploymentIsBackupError(
            f"deployment {command.deployment_id} is the backup of endpoint {state.name}",
            remedy="name another backup in the failover policy first, or none",
        )
    weight = state.traffic.weights.get(command.deployment_id)
    if weight:
        raise errors.DeploymentTakesTrafficError(
            f"deployment {command.deployment_id} serves {weight:g} % of endpoint {state.name}",
            remedy="shift its traffic to another deployment first",
        )
    if state.shadow and state.shadow.deployment_id == command.deployment_id:
        raise errors.DeploymentIsShadowError(
            f"deployment {command.deployment_id} is the shadow of endpoint {state.name}",
            remedy="remove the shadow first",
        )
    return [DeploymentRemoved(deployment_id=command.deployment_id, reason=command.reason)]


def require_deployment(state: Endpoint, deployment_id: str, *, field: str | None = None) -> DeploymentAdded:
    """Return a deployment of the endpoint, or refuse; `field` is where the request names it in its body."""
    deployment = state.deployments.find(deployment_id)
    if deployment is None:
        raise errors.DeploymentNotFoundError(
            f"endpoint {state.name} has no deployment {deployment_id}",
            field=field,
            remedy="list the endpoint's deployments",
        )
    return deployment


def _placed(deployment_id: str, regions: tuple[str, ...], *, reason: str) -> DeploymentPlaced:
    require_valid_regions(regions, limit=MAX_REGIONS, field="regions")
    return DeploymentPlaced(deployment_id=deployment_id, regions=regions, reason=reason)
