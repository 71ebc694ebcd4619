"""What can be asked of an endpoint's deployments."""

import msgspec

from schemas.events.endpoints import VersionReference
from schemas.events.registry import Artifact, GoldenExample, Signature


class DeployableVersion(msgspec.Struct, frozen=True, kw_only=True):
    """All that an agent needs to know of a version in order to serve it."""

    reference: VersionReference
    artifact: Artifact
    signature: Signature
    golden: GoldenExample | None


class AddDeployment(msgspec.Struct, frozen=True, kw_only=True):
    """Make a version available, in these regions alone; without any, wherever an agent is."""

    deployment_id: str
    version: DeployableVersion
    replicas: int
    regions: tuple[str, ...] = ()


class PlaceDeployment(msgspec.Struct, frozen=True, kw_only=True):
    """Have a deployment's instances in these regions alone; without any, wherever an agent is."""

    deployment_id: str
    regions: tuple[str, ...]
    reason: str


class RemoveDeployment(msgspec.Struct, frozen=True, kw_only=True):
    deployment_id: str
    reason: str
