"""The bodies on deployments, where they say something else than the command that they become."""

import msgspec

from control_plane.endpoints.commands import Regions
from schemas.texts import Reason


class AddDeploymentRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Each of the regions gets the replicas; without any, each that has an agent."""

    version: str
    replicas: int = 1
    regions: Regions = ()


class PlaceDeploymentRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    regions: Regions
    reason: Reason


class RemoveDeploymentRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: Reason
