"""What callers are told of an endpoint's replicas."""

import msgspec

from control_plane.endpoints.scaling.measurements import KeptMeasurement
from schemas.scaling import ScalingPolicy


class ScalingAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a measurement: `is_changed` says that an event was recorded."""

    deployment_id: str
    replicas: int
    scaling_version: int
    is_changed: bool
    code: str
    reason: str


class DeploymentScaling(msgspec.Struct, frozen=True, kw_only=True):
    """How many replicas a deployment has, and what the policy makes of the last measurement.

    `measured` and `code` are null while nothing was measured since the API started.
    """

    deployment_id: str
    replicas: int
    ready: int
    changed_at_ms: int
    scaling_version: int
    measured: KeptMeasurement | None
    code: str | None
    wanted_replicas: int
    reason: str


class EndpointScaling(msgspec.Struct, frozen=True, kw_only=True):
    """The policy of an endpoint, and why its deployments have the replicas that they have."""

    endpoint_id: str
    policy: ScalingPolicy | None
    policy_version: int
    deployments: tuple[DeploymentScaling, ...]
