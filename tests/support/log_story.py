"""A log with an event of most kinds, in an order that the aggregates allow: a canary beside all that surrounds it."""

from collections.abc import Callable

import msgspec

from schemas.catalogue import EVENT_TYPES, TYPE_NAMES
from schemas.envelope import Envelope, RecordedEvent, Sealed, encode, encode_data
from schemas.events import access, batches, endpoints, monitors, registry, rollouts
from schemas.events.endpoints import EndpointReleased, EndpointReserved
from schemas.identifiers import EventId, StreamId
from schemas.scaling import ScalingPolicy
from tests.support.builders import (
    ARTIFACT,
    BASELINE,
    CANDIDATE,
    SIGNATURE,
    deployment_added,
    measurement,
    rollout_started,
    traffic,
)
from tests.support.routing import announced, envelope, withdrawn

AT = "2026-01-02T03:04:05.678Z"
LATER = "2026-02-02T03:04:05.678Z"


def _id(kind: str, number: int = 1) -> str:
    return f"{kind}-019b7ca9-8f2e-7000-8000-{number:012d}"


PRINCIPAL, KEYRING, BATCH, MONITOR = _id("principal"), _id("keyring"), _id("batch"), _id("monitor")
MODEL, VERSION, ROLLOUT = _id("model"), _id("version"), _id("rollout")
ENDPOINT, OLD_INSTANCE, NEW_INSTANCE = _id("endpoint"), _id("instance", 1), _id("instance", 2)
_SEALED = Sealed(key_id="key-1", ciphertext="")
_KEY = access.SigningKey(key_id="key-1", x="x", signs_from=AT, valid_until=None)
_FILE = batches.BatchInput(file_id="file-1", sha256="0" * 64, size_bytes=1)
_STRETCH = monitors.ReferenceStretch(deployment_ids=(BASELINE,), from_ms=0, until_ms=86_400_000)
_TERMS = monitors.MonitorTerms(
    detector="input_drift",
    features=(),
    window_ms=3_600_000,
    false_alarm_budget=0.1,
    late_after_ms=3_900_000,
    settling_windows=24,
    bounds=monitors.Bounds(),
)
_FAILOVER = endpoints.FailoverPolicy(backup_deployment_id=BASELINE)
_VERDICT = rollouts.Verdict(
    gate="error_rate", outcome="pass", reason="level", estimate=0.0, lower=-0.1, upper=0.1, alpha=0.05
)

_FACTS: tuple[tuple[str, msgspec.Struct], ...] = (
    (PRINCIPAL, access.PrincipalRegistered(kind="person", role="viewer", name=_SEALED, email=None)),
    (PRINCIPAL, access.TokenIssued(token_id="token-1", token_sha256="0" * 64, expires_at=None)),
    (PRINCIPAL, access.RoleGranted(role="admin", reason="on call")),
    (KEYRING, access.SigningKeyRotated(keys=(_KEY,), reason="first")),
    (KEYRING, access.InferenceTokenRevoked(token_id="jti-1", until=LATER, reason="lost")),
    (MODEL, registry.ModelRegistered(name="digits", description="", tags={})),
    (MODEL, registry.VersionNumberAssigned(version_id=VERSION, number=1)),
    (
        VERSION,
        registry.ModelVersionRegistered(
            model_id=MODEL,
            model_name="digits",
            number=1,
            artifact=ARTIFACT,
            signature=SIGNATURE,
            golden=None,
            parameters={},
            metrics={},
            tags={},
        ),
    ),
    (MODEL, registry.VersionAliasSet(alias="best", version_id=VERSION, number=1, reason="first")),
    (ENDPOINT, endpoints.EndpointCreated(name="digits", description="", salt="salt")),
    (ENDPOINT, deployment_added()),
    (ENDPOINT, traffic((BASELINE, 0, 10_000))),
    (OLD_INSTANCE, announced(ENDPOINT, BASELINE)),
    (ENDPOINT, endpoints.TrafficApplied(epoch=3, region="local", gateway_id="g", applied_at=AT)),
    (ENDPOINT, endpoints.CapturePolicyChanged(policy=endpoints.CapturePolicy(sampling_rate=0.5), reason="less")),
    (ENDPOINT, endpoints.AssignmentKeyChosen(key=endpoints.AssignmentKey(claim="sub"), reason="sticky")),
    (ENDPOINT, endpoints.ScalingPolicySet(policy=ScalingPolicy(min_replicas=0, in_flight=1.0), reason="spare")),
    (ENDPOINT, EndpointReserved(rollout_id=ROLLOUT)),
    (ENDPOINT, endpoints.DeploymentPlaced(deployment_id=CANDIDATE, regions=("local",), reason="near")),
    (ENDPOINT, deployment_added(CANDIDATE, number=2)),
    (ENDPOINT, endpoints.ShadowSet(deployment_id=CANDIDATE, percent=10.0, reason="look first")),
    (ROLLOUT, rollout_started(endpoint_id=ENDPOINT)),
    (NEW_INSTANCE, announced(ENDPOINT, CANDIDATE, port=2)),
    (ROLLOUT, rollouts.CandidateWarmed(ready_instances=1)),
    (ENDPOINT, endpoints.ShadowRemoved(deployment_id=CANDIDATE, reason="it serves")),
    (ROLLOUT, rollouts.StepStarted(step=0, weight_percent=50.0, epoch=13, reason="warm")),
    (ENDPOINT, traffic((BASELINE, 0, 5_000), (CANDIDATE, 5_000, 10_000), rollout_id=ROLLOUT, step=0)),
    (ENDPOINT, endpoints.FailoverPolicySet(policy=_FAILOVER, reason="safe")),
    (
        ENDPOINT,
        endpoints.FailoverStarted(
            region="local",
            deployment_id=CANDIDATE,
            from_region="local",
            to_deployment_id=BASELINE,
            to_region="local",
            code="no-instance",
            reason="gone",
            observed_at=AT,
        ),
    ),
    (ENDPOINT, endpoints.FailoverEnded(region="local", deployment_id=CANDIDATE, reason="back", observed_at=AT)),
    (ROLLOUT, rollouts.RolloutPaused(step=0, reason="lunch")),
    (ROLLOUT, rollouts.RolloutResumed(step=0, reason="back")),
    (
        ROLLOUT,
        rollouts.StepJudged(measurement=measurement(), verdicts=(_VERDICT,), decision="promote", reason="all is well"),
    ),
    (ROLLOUT, rollouts.RolloutPromoted(epoch=16, reason="all is well")),
    (ENDPOINT, traffic((CANDIDATE, 0, 10_000), rollout_id=ROLLOUT, step=1)),
    (ENDPOINT, endpoints.FailoverPolicySet(policy=endpoints.FailoverPolicy(), reason="no back-up")),
    (ENDPOINT, endpoints.DeploymentRemoved(deployment_id=BASELINE, reason="replaced")),
    (ENDPOINT, EndpointReleased(rollout_id=ROLLOUT)),
    (ROLLOUT, rollouts.RolloutCompleted(reason="baked")),
    (OLD_INSTANCE, withdrawn(ENDPOINT, BASELINE)),
    (
        BATCH,
        batches.BatchCreated(
            owner_id=PRINCIPAL, endpoint="/v1/completions", input=_FILE, scopes=("digits",), expires_at=LATER
        ),
    ),
    (BATCH, batches.BatchStarted(requests=1)),
    (
        MONITOR,
        monitors.MonitorCreated(
            name="inputs",
            endpoint_id=ENDPOINT,
            endpoint_name="digits",
            terms=_TERMS,
            reference=_STRETCH,
            since_ms=86_400_000,
            left_out=(),
        ),
    ),
    (MONITOR, monitors.ReferenceFixed(digest=f"sha256:{'0' * 64}", windows=24, rows=2_400, features=("input.x",))),
    (MODEL, registry.VersionAliasRemoved(alias="best", reason="last")),
    (ENDPOINT, deployment_added("deployment-3", number=3)),
    (ENDPOINT, traffic((CANDIDATE, 0, 9_000), ("deployment-3", 9_000, 10_000))),
)


def log_story(wanted: Callable[[RecordedEvent], bool] = lambda _: True) -> list[RecordedEvent]:
    """Return the log; of a part of the events, as if the others had never been."""
    versions: dict[str, int] = {}
    log: list[RecordedEvent] = []
    for stream, event in _FACTS:
        position = len(log) + 1
        version = versions.get(stream, 0) + 1
        envelope = Envelope(
            type=TYPE_NAMES[type(event)],
            id=EventId(_id("event", position)),
            time=AT,
            workspace="default",
            stream=StreamId(stream),
            streamversion=version,
            actor=PRINCIPAL,
            correlationid="c",
            causationid="c",
            commandid="c",
            data=encode_data(event),
        )
        if wanted(recorded(position, envelope)):
            versions[stream] = version
            log.append(recorded(position, envelope))
    return log


def recorded(position: int, envelope: Envelope) -> RecordedEvent:
    """Give an event its place and its bytes."""
    return RecordedEvent(position=position, envelope=envelope, canonical=encode(envelope))


def event_at(position: int, stream: str, event: msgspec.Struct) -> RecordedEvent:
    """Make an event of a stream, with a place in the log."""
    return recorded(position, envelope(stream, position, event))


def with_data(event: RecordedEvent, **changes: object) -> RecordedEvent:
    """Return an event with other or further members of its data."""
    data = msgspec.json.decode(event.envelope.data) | changes
    envelope = msgspec.structs.replace(event.envelope, data=msgspec.Raw(msgspec.json.encode(data)))
    return recorded(event.position, envelope)


def with_type(event: RecordedEvent, type_name: str) -> RecordedEvent:
    """Return an event under another type."""
    assert type_name not in EVENT_TYPES
    return recorded(event.position, msgspec.structs.replace(event.envelope, type=type_name))
