"""What can be asked of an endpoint and of the instances of its deployments; most arrive as bodies, as they are."""

from typing import Annotated

import msgspec

from schemas.events.endpoints import AssignmentKey, CapturePolicy, FailoverPolicy, VersionReference
from schemas.events.registry import Artifact, GoldenExample, Signature
from schemas.scaling import LoadMeasurement, ScalingPolicy

Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=2_000)]
Label = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class DeployableVersion(msgspec.Struct, frozen=True, kw_only=True):
    """All that an agent needs to know of a version in order to serve it."""

    reference: VersionReference
    artifact: Artifact
    signature: Signature
    golden: GoldenExample | None


class CreateEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    description: str
    salt: str


class AddDeployment(msgspec.Struct, frozen=True, kw_only=True):
    deployment_id: str
    version: DeployableVersion
    replicas: int


class RemoveDeployment(msgspec.Struct, frozen=True, kw_only=True):
    deployment_id: str
    reason: str


class SetTraffic(msgspec.Struct, frozen=True, kw_only=True):
    """Split the traffic; `weights` are (deployment id, percent) and sum to 100.

    A rollout acts on the endpoint that it owns, and only it.
    """

    weights: tuple[tuple[str, float], ...]
    reason: str
    rollout_id: str | None = None
    step: int | None = None


class RestoreTraffic(msgspec.Struct, frozen=True, kw_only=True):
    """Go back to the split of an earlier epoch; to the one before the current, where none is named."""

    epoch: int | None
    reason: str


class ChangeCapturePolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Capture this of predictions from now on; it replaces the whole policy."""

    policy: CapturePolicy
    reason: Reason


class SetScalingPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Let replicas follow this policy; without one (null) each deployment gets the replicas that it was added with."""

    policy: ScalingPolicy | None
    reason: Reason


class ReportLoad(msgspec.Struct, frozen=True, kw_only=True):
    """What a deployment must do."""

    deployment_id: str
    measurement: LoadMeasurement


class WakeDeployment(msgspec.Struct, frozen=True, kw_only=True):
    """A request arrives for a sleeping deployment."""

    deployment_id: str
    reason: str


class SetFailoverPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Fail over like this from now on; it replaces the whole policy. The backup may be named by its version."""

    policy: FailoverPolicy
    reason: str


class PlaceDeployment(msgspec.Struct, frozen=True, kw_only=True):
    """Have a deployment's instances in these regions alone; without any, wherever an agent is."""

    deployment_id: str
    regions: tuple[str, ...]
    reason: str


class ReportFailoverStart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A region's gateway reports that a failover has started."""

    region: Label
    deployment_id: Label
    from_region: Label
    to_deployment_id: Label
    to_region: Label
    code: Label
    reason: Reason
    observed_at: str


class ReportFailoverEnd(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A region's gateway reports that a failover has ended."""

    region: Label
    deployment_id: Label
    reason: Reason
    observed_at: str


class SetShadow(msgspec.Struct, frozen=True, kw_only=True):
    """Copy a share of the requests to a deployment that answers no one; it replaces the shadow before."""

    deployment_id: str
    percent: float
    reason: str


class RemoveShadow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: Reason


class ChooseAssignmentKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Assign callers to versions by this key from now on."""

    key: AssignmentKey
    reason: Reason


class ReserveEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    rollout_id: str


class ReleaseEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    rollout_id: str


class ConfirmTraffic(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A region's gateways serve the epoch."""

    epoch: int
    region: Label
    gateway_id: Label
    applied_at: str


class AnnounceInstance(msgspec.Struct, frozen=True, kw_only=True):
    endpoint_id: str
    deployment_id: str
    agent_id: str
    boot_id: str
    host: str
    port: int
    region: str
    zone: str


class WithdrawInstance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """With a code, the instance is withdrawn because probes found it unhealthy, and how."""

    reason: Reason
    code: Label | None = None


class FailInstance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    endpoint_id: str
    deployment_id: str
    agent_id: Label
    code: Label
    reason: Reason
