"""Facts of endpoints: their deployments, instances and traffic."""

from typing import Annotated

import msgspec

from schemas.events.registry import Artifact, GoldenExample, Signature
from schemas.scaling import LoadMeasurement, ScalingPolicy

BUCKETS = 10_000
DEFAULT_KEY_HEADER = "x-rollbook-key"


class VersionReference(msgspec.Struct, frozen=True, kw_only=True):
    """A version as people name it (`model_name/number`) and by its id."""

    version_id: str
    model_name: str
    number: int


class BucketRange(msgspec.Struct, frozen=True, array_like=True):
    """Buckets `start` (inclusive) to `end` (exclusive) of 10,000; stored as a two-element array."""

    start: int
    end: int


class Allocation(msgspec.Struct, frozen=True, kw_only=True):
    """The share of an endpoint's buckets that one deployment serves. All ranges of an endpoint tile 0–10,000."""

    deployment_id: str
    weight_percent: float
    ranges: tuple[BucketRange, ...]


class EndpointCreated(msgspec.Struct, frozen=True, kw_only=True):
    """A name that callers can use was created; `salt` seeds its assignment of buckets."""

    name: str
    description: str
    salt: str


class DeploymentAdded(msgspec.Struct, frozen=True, kw_only=True):
    """A version was deployed to the endpoint, without traffic; agents start `replicas` instances of it."""

    deployment_id: str
    version: VersionReference
    artifact: Artifact
    signature: Signature
    golden: GoldenExample | None
    replicas: int


class DeploymentRemoved(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment without traffic was removed; agents drain and stop its instances."""

    deployment_id: str
    reason: str


class CapturePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What may be kept of an endpoint's predictions; without a list of names, all inputs or outputs are kept.

    `sampling_rate` is decided by the prediction id, so that every reader and a shadow decide alike. `hashed` inputs
    and outputs leave as a keyed digest of their values; more than `max_values` values or `max_bytes` bytes are cut.
    `prediction` is the first value of the first output, which feedback is compared with. The read side forgets all of
    it `retention_days` after it was captured.
    """

    inputs: tuple[str, ...] | None = None
    outputs: tuple[str, ...] | None = None
    sampling_rate: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    hashed: tuple[str, ...] = ()
    max_values: Annotated[int, msgspec.Meta(ge=0)] = 4_096
    max_bytes: Annotated[int, msgspec.Meta(ge=0)] = 32 * 1024
    prediction: bool = True
    retention_days: Annotated[int, msgspec.Meta(ge=1)] = 7


class CapturePolicyChanged(msgspec.Struct, frozen=True, kw_only=True):
    """This is captured of the endpoint's predictions from now on; the stream version of this event names the policy."""

    policy: CapturePolicy
    reason: str


class TrafficShifted(msgspec.Struct, frozen=True, kw_only=True):
    """The endpoint's traffic was split like this; the stream version of this event is the epoch."""

    allocations: tuple[Allocation, ...]
    reason: str
    rollout_id: str | None
    step: int | None


class AssignmentKey(msgspec.Struct, frozen=True, kw_only=True):
    """What keeps a caller on one bucket: the value of a header, or a claim of the caller's token. One of the two."""

    header: str | None = None
    claim: str | None = None


DEFAULT_KEY = AssignmentKey(header=DEFAULT_KEY_HEADER)


class AssignmentKeyChosen(msgspec.Struct, frozen=True, kw_only=True):
    """Callers are assigned to buckets by this key from now on; a request without it gets a random bucket."""

    key: AssignmentKey
    reason: str


class ShadowSet(msgspec.Struct, frozen=True, kw_only=True):
    """This share of the endpoint's requests is copied to the deployment, and its answers are discarded.

    It takes the place of the shadow before, if there was one. Copying begins with the first instance.
    """

    deployment_id: str
    percent: float
    reason: str


class ShadowRemoved(msgspec.Struct, frozen=True, kw_only=True):
    """Requests are no longer copied to the deployment."""

    deployment_id: str
    reason: str


class TrafficApplied(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway of a region serves the epoch: Envoy acknowledged it, and a probe request saw it.

    `gateway_id` is the `log_id` of the gateway's batches of request records. In events of earlier releases it is the id
    of one run of Envoy, and the first gateway of a region spoke for all of them.
    """

    epoch: int
    region: str
    gateway_id: str
    applied_at: str


class EndpointReserved(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout owns the endpoint's traffic until it releases it."""

    rollout_id: str


class EndpointReleased(msgspec.Struct, frozen=True, kw_only=True):
    """The rollout is over, and others can change the endpoint's traffic again."""

    rollout_id: str


class EndpointRemoved(msgspec.Struct, frozen=True, kw_only=True):
    """The endpoint is no longer served, with all its deployments, and its name is free."""

    reason: str


class InstanceAnnounced(msgspec.Struct, frozen=True, kw_only=True):
    """An engine answered its golden input correctly and can take traffic at this address."""

    endpoint_id: str
    deployment_id: str
    agent_id: str
    boot_id: str
    host: str
    port: int
    region: str
    zone: str


class InstanceFoundUnhealthy(msgspec.Struct, frozen=True, kw_only=True):
    """The agent's probes found that the instance hangs, is slow or answers wrongly; the code says which."""

    endpoint_id: str
    deployment_id: str
    agent_id: str
    code: str
    reason: str


class InstanceWithdrawn(msgspec.Struct, frozen=True, kw_only=True):
    """The instance gets no traffic from now on."""

    endpoint_id: str
    deployment_id: str
    reason: str


class InstanceFailed(msgspec.Struct, frozen=True, kw_only=True):
    """The agent gave up on starting an instance, for example because of a wrong digest or a wrong golden answer."""

    endpoint_id: str
    deployment_id: str
    agent_id: str
    code: str
    reason: str


class ScalingPolicySet(msgspec.Struct, frozen=True, kw_only=True):
    """The replicas of deployments follow this policy; without one, they stay as they were when added."""

    policy: ScalingPolicy | None
    reason: str


class ReplicasChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment's number of instances was changed; agents start or stop instances.

    `code` names the rule that decided, `measurement` holds its inputs: null where none was needed.
    """

    deployment_id: str
    from_replicas: int
    to_replicas: int
    code: str
    reason: str
    measurement: LoadMeasurement | None


class DeploymentPlaced(msgspec.Struct, frozen=True, kw_only=True):
    """The deployment runs only in these regions; if there are none, in every region with an agent.

    Of a deployment that begins with a placement this stands before `DeploymentAdded`, so that no agent starts instances
    where none are wanted.
    """

    deployment_id: str
    regions: tuple[str, ...]
    reason: str


class FailoverPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Who answers in place of instances that cannot be reached, and what an endpoint may ask of them at once.

    A region's requests go to instances of the region first, then to those of the backup regions in order; without a
    list, of any other region. When no region has a healthy instance of the version, the backup deployment answers.
    Without `max_retries` a request is tried often enough to reach the last of these levels. Retries are limited to a
    share of the requests in progress, above `retries_at_once`. The last three limit what one gateway uses of one
    deployment at a time.
    """

    backup_deployment_id: str | None = None
    backup_regions: tuple[str, ...] | None = None
    max_retries: Annotated[int, msgspec.Meta(ge=0)] | None = None
    per_try_timeout_ms: Annotated[int, msgspec.Meta(ge=1)] | None = None
    retry_budget_percent: Annotated[float, msgspec.Meta(ge=0, le=100)] = 50.0
    retries_at_once: Annotated[int, msgspec.Meta(ge=0)] = 64
    max_connections: Annotated[int, msgspec.Meta(ge=1)] = 1_024
    max_pending: Annotated[int, msgspec.Meta(ge=1)] = 1_024
    max_requests: Annotated[int, msgspec.Meta(ge=1)] = 1_024


class FailoverPolicySet(msgspec.Struct, frozen=True, kw_only=True):
    """Gateways follow this failover policy from now on."""

    policy: FailoverPolicy
    reason: str


class FailoverStarted(msgspec.Struct, frozen=True, kw_only=True):
    """In `region`, what `from_region` usually answers for a deployment is answered elsewhere or by another one.

    Said again when it is taken over by yet another one. `code` is `no-instance` or `instances-unreachable`.
    """

    region: str
    deployment_id: str
    from_region: str
    to_deployment_id: str
    to_region: str
    code: str
    reason: str
    observed_at: str


class FailoverEnded(msgspec.Struct, frozen=True, kw_only=True):
    """In `region`, the deployment's usual instances answer again, or it gets no more requests."""

    region: str
    deployment_id: str
    reason: str
    observed_at: str


EVENTS: dict[str, type[msgspec.Struct]] = {
    "endpoints.AssignmentKeyChosen.v1": AssignmentKeyChosen,
    "endpoints.CapturePolicyChanged.v1": CapturePolicyChanged,
    "endpoints.DeploymentAdded.v1": DeploymentAdded,
    "endpoints.DeploymentPlaced.v1": DeploymentPlaced,
    "endpoints.DeploymentRemoved.v1": DeploymentRemoved,
    "endpoints.EndpointCreated.v1": EndpointCreated,
    "endpoints.EndpointReleased.v1": EndpointReleased,
    "endpoints.EndpointRemoved.v1": EndpointRemoved,
    "endpoints.EndpointReserved.v1": EndpointReserved,
    "endpoints.FailoverEnded.v1": FailoverEnded,
    "endpoints.FailoverPolicySet.v1": FailoverPolicySet,
    "endpoints.FailoverStarted.v1": FailoverStarted,
    "endpoints.InstanceAnnounced.v1": InstanceAnnounced,
    "endpoints.InstanceFailed.v1": InstanceFailed,
    "endpoints.InstanceFoundUnhealthy.v1": InstanceFoundUnhealthy,
    "endpoints.InstanceWithdrawn.v1": InstanceWithdrawn,
    "endpoints.ReplicasChanged.v1": ReplicasChanged,
    "endpoints.ScalingPolicySet.v1": ScalingPolicySet,
    "endpoints.ShadowRemoved.v1": ShadowRemoved,
    "endpoints.ShadowSet.v1": ShadowSet,
    "endpoints.TrafficApplied.v1": TrafficApplied,
    "endpoints.TrafficShifted.v1": TrafficShifted,
}
