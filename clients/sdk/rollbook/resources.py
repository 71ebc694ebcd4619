"""What the server answers, as typed structs; fields that a newer server adds are ignored."""

from typing import Any

import msgspec


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A registered model."""

    id: str
    name: str
    description: str = ""
    tags: dict[str, str] = {}
    latest_version: int | None = None
    aliases: dict[str, int] = {}
    created_at: str = ""
    position: int = 0


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """A file in the content-addressed store; `digest` is `sha256:<hex>`."""

    digest: str
    size_bytes: int = 0
    format: str = ""
    parent: str | None = None


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One immutable numbered version of a model."""

    id: str
    model_id: str
    model_name: str
    number: int
    artifact: Artifact
    signature: dict[str, list[dict[str, Any]]] = {}
    inferred: list[str] = []
    metrics: dict[str, float] = {}
    parameters: dict[str, str] = {}
    tags: dict[str, str] = {}
    created_at: str = ""
    position: int = 0

    @property
    def reference(self) -> str:
        """The version as people and calls name it, `model/number`."""
        return f"{self.model_name}/{self.number}"


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """A running engine that takes traffic."""

    id: str
    host: str = ""
    port: int = 0
    region: str = ""
    zone: str = ""


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """A version made available on an endpoint; `failure` is what its last instance failed of, while it is not ready."""

    id: str
    version: str
    replicas: int = 1
    state: str = ""
    instances: tuple[Instance, ...] = ()
    regions: tuple[str, ...] = ()
    failure: str | None = None


class Allocation(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment's share of an endpoint's traffic."""

    deployment_id: str
    weight_percent: float


class CapturePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of an endpoint's predictions; without a list of names, all inputs or outputs are.

    `hashed` inputs and outputs leave the engine as digests. `prediction` is the value that feedback is compared with.
    """

    inputs: tuple[str, ...] | None = None
    outputs: tuple[str, ...] | None = None
    sampling_rate: float = 1.0
    hashed: tuple[str, ...] = ()
    max_values: int = 4_096
    max_bytes: int = 32 * 1024
    prediction: bool = True
    retention_days: int = 7


class ScalingPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What the number of replicas follows; a target is what one replica should have, `latency_ms` a mean."""

    min_replicas: int = 1
    max_replicas: int = 1
    in_flight: float | None = None
    queue_depth: float | None = None
    latency_ms: float | None = None
    tokens_waiting: float | None = None
    tolerance: float = 0.1
    cool_down_ms: int = 5_000
    stabilisation_window_ms: int = 60_000
    idle_before_zero_ms: int = 300_000


class DeploymentScaling(msgspec.Struct, frozen=True, kw_only=True):
    """How many replicas a deployment has, and what the policy makes of what was measured last."""

    deployment_id: str
    replicas: int
    ready: int = 0
    wanted_replicas: int = 0
    code: str | None = None
    reason: str = ""
    measured: dict[str, Any] | None = None


class EndpointScaling(msgspec.Struct, frozen=True, kw_only=True):
    """The scaling policy of an endpoint, and why its deployments have the replicas that they have."""

    endpoint_id: str
    policy: ScalingPolicy | None = None
    policy_version: int = 0
    deployments: tuple[DeploymentScaling, ...] = ()


class FailoverPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Who answers in place of instances that can't be reached, and what one gateway asks of a deployment at once.

    Without `backup_regions` any other region may answer. Without `max_retries` as often as there are places to try.
    """

    backup_deployment_id: str | None = None
    backup_regions: tuple[str, ...] | None = None
    max_retries: int | None = None
    per_try_timeout_ms: int | None = None
    retry_budget_percent: float = 50.0
    retries_at_once: int = 64
    max_connections: int = 1_024
    max_pending: int = 1_024
    max_requests: int = 1_024


class Failover(msgspec.Struct, frozen=True, kw_only=True):
    """In `region`, another region or deployment answers for `deployment_id` than usual."""

    region: str
    deployment_id: str
    from_region: str
    to_deployment_id: str
    to_region: str
    code: str = ""
    reason: str = ""
    observed_at: str = ""


class Shadow(msgspec.Struct, frozen=True, kw_only=True):
    """The deployment that gets copies of a share of the requests, and answers nobody."""

    deployment_id: str
    percent: float
    reason: str = ""


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """The gateways of a region serve the traffic of an epoch."""

    epoch: int
    region: str = ""
    applied_at: str = ""


class AssignmentKey(msgspec.Struct, frozen=True, kw_only=True):
    """What keeps a caller on one version: a header's value or a claim of its token."""

    header: str | None = None
    claim: str | None = None


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A name that callers use; `epoch` names the event that set the traffic, `capture_version` that of the policy."""

    id: str
    name: str
    description: str = ""
    epoch: int | None = None
    stream_version: int = 0
    allocations: tuple[Allocation, ...] = ()
    deployments: tuple[Deployment, ...] = ()
    applied: tuple[Applied, ...] = ()
    active_rollout_id: str | None = None
    capture: CapturePolicy = CapturePolicy()
    capture_version: int = 0
    scaling: ScalingPolicy | None = None
    failover: FailoverPolicy = FailoverPolicy()
    failovers: tuple[Failover, ...] = ()
    shadow: Shadow | None = None
    assigned_by: AssignmentKey = AssignmentKey()
    position: int = 0


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """A gate's answer with its reason and, where it could be computed, its interval."""

    gate: str
    outcome: str
    reason: str = ""
    estimate: float | None = None
    lower: float | None = None
    upper: float | None = None
    alpha: float = 0.0


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """A move of an endpoint's traffic from the baseline to the candidate."""

    id: str
    phase: str
    endpoint_id: str = ""
    endpoint_name: str = ""
    candidate: dict[str, Any] = {}
    baseline: dict[str, Any] = {}
    candidate_deployment_id: str = ""
    baseline_deployment_id: str = ""
    step: int | None = None
    weight_percent: float | None = None
    epoch: int | None = None
    verdicts: tuple[Verdict, ...] = ()
    reason: str = ""
    started_at: str = ""
    position: int = 0

    @property
    def is_over(self) -> bool:
        """Whether the rollout reached its end."""
        return self.phase in {"completed", "aborted"}


class RecordedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event of the log with its position; `event` is the CloudEvents envelope."""

    position: int
    event: dict[str, Any]


class InferenceToken(msgspec.Struct, frozen=True, kw_only=True):
    """A short-lived token for the gateway; by its id it can be revoked."""

    id: str = ""
    token: str
    expires_at: str
