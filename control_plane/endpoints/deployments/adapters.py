"""Adapters: deployments that run inside the engines of another deployment of their endpoint, that of their parent."""

from collections.abc import Collection

from control_plane.endpoints import errors
from control_plane.endpoints.deployments.commands import DeployableVersion
from schemas.events.endpoints import DeploymentAdded


def adapters_run_beside_their_parent(version: DeployableVersion, *, among: Collection[DeploymentAdded]) -> None:
    """Refuse an adapter whose parent is not deployed at the endpoint."""
    parent = version.artifact.parent
    if parent is None or any(each.version.version_id == parent for each in among):
        return
    named = f"{version.reference.model_name}/{version.reference.number}"
    raise errors.ParentNotDeployedError(
        f"{named} is an adapter of the version {parent}, which the endpoint does not deploy",
        field="version",
        remedy="deploy its parent at the endpoint first; an adapter runs inside the parent's engines",
    )


def has_adapters(deployment: DeploymentAdded, *, among: Collection[DeploymentAdded]) -> bool:
    """Return whether adapters run in a deployment, and could run in no other one of the same version."""
    version_id = deployment.version.version_id
    others = [each for each in among if each.deployment_id != deployment.deployment_id]
    has_twin = any(each.version.version_id == version_id for each in others)
    return not has_twin and any(each.artifact.parent == version_id for each in others)
