"""One function a command on replicas: load, decide, append, answer. The rules are in `decisions` and `rules`."""

import msgspec

from control_plane.endpoints.aggregate import Endpoint
from control_plane.endpoints.handlers import append, endpoint_reply, load_endpoint
from control_plane.endpoints.queries import ready_instances
from control_plane.endpoints.scaling import commands, decisions
from control_plane.endpoints.scaling.measurements import LastMeasurements
from control_plane.endpoints.scaling.requests import ReportLoadRequest, WakeDeploymentRequest
from control_plane.endpoints.scaling.resources import DeploymentScaling, EndpointScaling, ScalingAnswer
from control_plane.endpoints.scaling.rules import Verdict
from control_plane.ports import Loaded, Reply, UnitOfWork

_OK = 200


def set_scaling_policy(
    uow: UnitOfWork, endpoint: str, command: commands.SetScalingPolicy, *, expected_version: int | None
) -> Reply:
    """Choose what replicas follow."""
    loaded = load_endpoint(uow, endpoint, expected_version=expected_version)
    events = decisions.set_scaling_policy(loaded.state, command)
    return endpoint_reply(uow, append(uow, loaded.state.id, loaded, events))


def report_load(uow: UnitOfWork, endpoint: str, deployment_id: str, request: ReportLoadRequest) -> Reply:
    """Decide on a measurement; one that changes nothing records nothing."""
    loaded = load_endpoint(uow, endpoint)
    command = commands.ReportLoad(deployment_id=deployment_id, measurement=request.measurement)
    events, verdict = decisions.report_load(loaded.state, command, now_ms=uow.now_ms)
    return _answer(append(uow, loaded.state.id, loaded, events), deployment_id, verdict, is_changed=bool(events))


def wake_deployment(uow: UnitOfWork, endpoint: str, deployment_id: str, request: WakeDeploymentRequest) -> Reply:
    """Give a sleeping deployment its first replica."""
    loaded = load_endpoint(uow, endpoint)
    command = commands.WakeDeployment(deployment_id=deployment_id, reason=request.reason)
    events, verdict = decisions.wake_deployment(loaded.state, command)
    return _answer(append(uow, loaded.state.id, loaded, events), deployment_id, verdict, is_changed=bool(events))


def explain_scaling(uow: UnitOfWork, endpoint: str, *, last: LastMeasurements) -> Reply:
    """Say what the policy makes of the last measurements; decides and records nothing."""
    loaded = load_endpoint(uow, endpoint)
    ready = ready_instances(uow.catalogue, loaded.state.id, workspace=uow.actor.workspace)
    shown = EndpointScaling(
        endpoint_id=loaded.state.id,
        policy=loaded.state.scaling.policy,
        policy_version=loaded.state.scaling.version,
        deployments=tuple(
            _explained(loaded.state, each.deployment_id, last, ready=ready[each.deployment_id], now_ms=uow.now_ms)
            for each in loaded.state.deployments.present
        ),
    )
    return Reply(status=_OK, body=msgspec.json.encode(shown), stream_version=loaded.version)


def _explained(
    state: Endpoint, deployment_id: str, last: LastMeasurements, *, ready: int, now_ms: int
) -> DeploymentScaling:
    replicas, kept = state.scaling.replicas[deployment_id], last.of(deployment_id)
    if kept is None:
        nothing = "nothing was measured yet" if state.scaling.policy else "the endpoint has no scaling policy"
        verdict = None
    else:
        verdict = decisions.verdict_on(state, deployment_id, kept.measurement, now_ms=now_ms)
    return DeploymentScaling(
        deployment_id=deployment_id,
        replicas=replicas.count,
        ready=ready,
        changed_at_ms=replicas.changed_at_ms,
        scaling_version=state.scaling.version_of(deployment_id),
        measured=kept,
        code=verdict.code if verdict else None,
        wanted_replicas=verdict.replicas if verdict else replicas.count,
        reason=verdict.reason if verdict else nothing,
    )


def _answer(loaded: Loaded[Endpoint], deployment_id: str, verdict: Verdict, *, is_changed: bool) -> Reply:
    replicas = loaded.state.scaling.replicas[deployment_id]
    answer = ScalingAnswer(
        deployment_id=deployment_id,
        replicas=replicas.count,
        scaling_version=loaded.state.scaling.version_of(deployment_id),
        is_changed=is_changed,
        code=verdict.code,
        reason=verdict.reason,
    )
    return Reply(status=_OK, body=msgspec.json.encode(answer), stream_version=loaded.version)
