"""Values that many tests need, each complete and sound; a test names only what it is about."""

import msgspec

from control_plane.endpoints.deployments.commands import DeployableVersion
from schemas.events.endpoints import (
    Allocation,
    BucketRange,
    DeploymentAdded,
    EndpointCreated,
    EndpointReserved,
    TrafficShifted,
    VersionReference,
)
from schemas.events.registry import Artifact, GoldenExample, Signature, Tensor
from schemas.events.rollouts import (
    Canary,
    CanaryStep,
    Counts,
    ErrorRateGate,
    GateCounts,
    LatencyGate,
    Measurement,
    QualityGate,
    RolloutStarted,
)

BASELINE, CANDIDATE = "deployment-baseline", "deployment-candidate"
ARTIFACT = Artifact(digest="sha256:" + "0" * 64, size_bytes=10, format="skops")
GOLDEN = GoldenExample(inputs=(), outputs={"digit": (7,)})
SIGNATURE = Signature(
    inputs=(Tensor(name="pixels", datatype="FP64", shape=(-1, 64)),),
    outputs=(Tensor(name="digit", datatype="INT64", shape=(-1,)),),
)
GATES = (
    ErrorRateGate(max_increase=0.05, min_requests=50),
    LatencyGate(threshold_ms=250.0, max_increase=0.10, min_requests=50),
    QualityGate(feedback_name="label", max_drop=0.02, min_labels=50),
)


def version(number: int) -> VersionReference:
    return VersionReference(version_id=f"version-{number}", model_name="digits", number=number)


def deployable(number: int) -> DeployableVersion:
    return DeployableVersion(reference=version(number), artifact=ARTIFACT, signature=SIGNATURE, golden=GOLDEN)


def deployment_added(deployment_id: str = BASELINE, *, number: int = 1, replicas: int = 1) -> DeploymentAdded:
    return DeploymentAdded(
        deployment_id=deployment_id,
        version=version(number),
        artifact=ARTIFACT,
        signature=SIGNATURE,
        golden=GOLDEN,
        replicas=replicas,
    )


def traffic(*shares: tuple[str, int, int], rollout_id: str | None = None, step: int | None = None) -> TrafficShifted:
    """Make a split of one range per deployment: (deployment id, first bucket, last bucket + 1)."""
    allocations = tuple(
        Allocation(deployment_id=name, weight_percent=(end - start) / 100, ranges=(BucketRange(start, end),))
        for name, start, end in shares
    )
    return TrafficShifted(allocations=allocations, reason="because", rollout_id=rollout_id, step=step)


def serving_endpoint() -> tuple[msgspec.Struct, ...]:
    """The past of an endpoint whose baseline serves everything."""
    created = EndpointCreated(name="digits", description="", salt="salt")
    return created, deployment_added(), traffic((BASELINE, 0, 10_000))


def endpoint_with_two() -> tuple[msgspec.Struct, ...]:
    """The same with a candidate that serves nothing."""
    return *serving_endpoint(), deployment_added(CANDIDATE, number=2)


def reserved_endpoint(rollout_id: str) -> tuple[msgspec.Struct, ...]:
    """The same, owned by a rollout."""
    return *endpoint_with_two(), EndpointReserved(rollout_id=rollout_id)


def canary(*weights: float, min_ms: int = 3_000, max_ms: int = 60_000, bake_ms: int = 5_000) -> Canary:
    steps = tuple(
        CanaryStep(weight_percent=weight, min_duration_ms=min_ms if weight < 100 else 0, max_duration_ms=max_ms)
        for weight in weights or (5.0, 25.0, 50.0, 100.0)
    )
    return Canary(steps=steps, bake_time_ms=bake_ms)


def rollout_started(**changes: object) -> RolloutStarted:
    started = RolloutStarted(
        endpoint_id="endpoint-1",
        endpoint_name="digits",
        candidate_deployment_id=CANDIDATE,
        candidate=version(2),
        baseline_deployment_id=BASELINE,
        baseline=version(1),
        replicas=1,
        strategy=canary(),
        gates=GATES,
        alpha=0.05,
        when_inconclusive="pause",
        warm_up_timeout_ms=30_000,
        max_lag_ms=5_000,
        allow_signature_change=False,
    )
    return msgspec.structs.replace(started, **changes)


def gate_counts(gate: str, candidate: tuple[int, int], baseline: tuple[int, int]) -> GateCounts:
    """Make counts from (bad, trials) of both sides."""
    return GateCounts(
        gate=gate,
        candidate=Counts(bad=candidate[0], trials=candidate[1]),
        baseline=Counts(bad=baseline[0], trials=baseline[1]),
    )


HEALTHY = (
    gate_counts("error_rate", (0, 1_000), (1, 9_000)),
    gate_counts("caller_error_rate", (40, 1_000), (360, 9_000)),
    gate_counts("latency", (3, 1_000), (30, 9_000)),
    gate_counts("quality", (60, 1_000), (1_700, 9_000)),
)
WRONG = (
    gate_counts("error_rate", (0, 1_000), (1, 9_000)),
    gate_counts("caller_error_rate", (40, 1_000), (360, 9_000)),
    gate_counts("latency", (3, 1_000), (30, 9_000)),
    gate_counts("quality", (180, 1_000), (540, 9_000)),
)
THIN = (
    gate_counts("error_rate", (0, 20), (0, 400)),
    gate_counts("caller_error_rate", (1, 20), (16, 400)),
    gate_counts("latency", (0, 20), (0, 400)),
    gate_counts("quality", (1, 12), (40, 390)),
)


def measurement(**changes: object) -> Measurement:
    """Make a measurement of step 0 at epoch 5 in which all is well, after the step's shortest duration."""
    healthy = Measurement(
        step=0, epoch=5, watermark_ms=1_700_000_100_000, elapsed_ms=10_000, freshness="fresh", counts=HEALTHY
    )
    return msgspec.structs.replace(healthy, **changes)
