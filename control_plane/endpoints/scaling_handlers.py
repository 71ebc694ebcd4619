"""One function a command on replicas: load, decide, append, answer. The rules are in `scaling` and `scaling_rules`."""

import msgspec

from control_plane.endpoints import commands, scaling
from control_plane.endpoints.aggregate import Endpoint
from control_plane.endpoints.handlers import append, endpoint_reply, load_endpoint
from control_plane.endpoints.queries import ready_instances
from control_plane.endpoints.requests import ReportLoadRequest, WakeDeploymentRequest
from control_plane.endpoints.scaling_measurements import KeptMeasurement, LastMeasurements
from control_plane.endpoints.scaling_rules import Verdict
from control_plane.ports import Loaded, Reply, UnitOfWork
from schemas.scaling import ScalingPolicy

_OK = 200


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


def set_scaling_policy(
    uow: UnitOfWork, endpoint: str, command: commands.SetScalingPolicy, *, expected_version: int | None
) -> Reply:
    """Choose what replicas follow."""
    loaded = load_endpoint(uow, endpoint, expected_version=expected_version)
    events = scaling.set_scaling_policy(loaded.state, command)
    return endpoint_reply(uow, append(uow, loaded.state.id, loaded, events))


def report_load(uow: UnitOfWork, endpoint: str, deployment_id: str, request: ReportLoadRequest) -> Reply:
    """Decide on a measurement; one that changes nothing records nothing."""
    loaded = load_endpoint(uow, endpoint)
    command = commands.ReportLoad(deployment_id=deployment_id, measurement=request.measurement)
    events, verdict = scaling.report_load(loaded.state, command, now_ms=uow.now_ms)
    return _answer(append(uow, loaded.state.id, loaded, events), deployment_id, verdict, is_changed=bool(events))


def wake_deployment(uow: UnitOfWork, endpoint: str, deployment_id: str, request: WakeDeploymentRequest) -> Reply:
    """Give a sleeping deployment its first replica."""
    loaded = load_endpoint(uow, endpoint)
    command = commands.WakeDeployment(deployment_id=deployment_id, reason=request.reason)
    events, verdict = scaling.wake_deployment(loaded.state, command)
    return _answer(append(uow, loaded.state.id, loaded, events), deployment_id, verdict, is_changed=bool(events))


def explain_scaling(uow: UnitOfWork, endpoint: str, *, last: LastMeasurements) -> Reply:
    """Say what the policy makes of the last measurements; decides and records nothing."""
    loaded = load_endpoint(uow, endpoint)
    ready = ready_instances(uow.catalogue, loaded.state.id, workspace=uow.actor.workspace)
    shown = EndpointScaling(
        endpoint_id=loaded.state.id,
        policy=loaded.state.scaling,
        policy_version=loaded.state.scaling_version,
        deployments=tuple(
            _explained(loaded.state, each.deployment_id, last, ready=ready[each.deployment_id], now_ms=uow.now_ms)
            for each in loaded.state.deployments
        ),
    )
    return Reply(status=_OK, body=msgspec.json.encode(shown), stream_version=loaded.version)


def _explained(
    state: Endpoint, deployment_id: str, last: LastMeasurements, *, ready: int, now_ms: int
) -> DeploymentScaling:
    replicas, kept = state.replicas[deployment_id], last.of(deployment_id)
    if kept is None:
        nothing = "nothing was measured yet" if state.scaling else "the endpoint has no scaling policy"
        verdict = None
    else:
        verdict = scaling.verdict_on(state, deployment_id, kept.measurement, now_ms=now_ms)
    return DeploymentScaling(
        deployment_id=deployment_id,
        replicas=replicas.count,
        ready=ready,
        changed_at_ms=replicas.changed_at_ms,
        scaling_version=scaling.scaling_version_of(state, replicas),
        measured=kept,
        code=verdict.code if verdict else None,
        wanted_replicas=verdict.replicas if verdict else replicas.count,
        reason=verdict.reason if verdict else nothing,
    )


def _answer(loaded: Loaded[Endpoint], deployment_id: str, verdict: Verdict, *, is_changed: bool) -> Reply:
    replicas = loaded.state.replicas[deployment_id]
    answer = ScalingAnswer(
        deployment_id=deployment_id,
        replicas=replicas.count,
        scaling_version=scaling.scaling_version_of(loaded.state, replicas),
        is_changed=is_changed,
        code=verdict.code,
        reason=verdict.reason,
    )
    return Reply(status=_OK, body=msgspec.json.encode(answer), stream_version=loaded.version)
