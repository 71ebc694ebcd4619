"""One function a command: load rollout and endpoint, decide, append to both in one transaction.

What a decision means for the endpoint is read off the rollout's events, so the two cannot differ.
"""

from collections.abc import Sequence

import msgspec

from control_plane.endpoints.aggregate import Endpoint
from control_plane.endpoints.deployments.commands import RemoveDeployment
from control_plane.endpoints.deployments.decisions import remove_deployment
from control_plane.endpoints.handlers import add_version, append, endpoint_reply, load_endpoint, require_version
from control_plane.endpoints.queries import deployable_version, ready_instances
from control_plane.endpoints.resources import ENDPOINTS
from control_plane.endpoints.traffic.commands import ReleaseEndpoint, ReserveEndpoint, RestoreTraffic, SetTraffic
from control_plane.endpoints.traffic.decisions import restore_traffic, set_traffic
from control_plane.endpoints.traffic.ownership import release, reserve
from control_plane.ports import Loaded, Reply, UnitOfWork
from control_plane.rollouts.aggregate import RolloutState
from control_plane.rollouts.commands import AbortRollout, Command, JudgeStep, StartRollout
from control_plane.rollouts.decisions import Decision, decide, start
from control_plane.rollouts.policies import (
    baseline_for,
    only_one_rollout_may_own_an_endpoint,
    signatures_must_go_together,
)
from control_plane.rollouts.queries import unknown_rollout
from control_plane.rollouts.requests import RollbackRequest
from control_plane.rollouts.resources import ROLLOUTS, JudgedResource, rollout_resource
from schemas.documents.rollouts import Standing
from schemas.documents.shared import shared
from schemas.events.rollouts import Measurement, RolloutAborted, RolloutCompleted, StepStarted
from schemas.identifiers import Kind, kind_of
from schemas.measurement import MeasuredRollout

_OK, _CREATED = 200, 201
_WHOLE = 100.0


def start_rollout(uow: UnitOfWork, command: StartRollout, *, expected_version: int | None) -> Reply:
    """Reserve the endpoint, add the candidate's deployment and start the rollout.

    If-Match speaks of the endpoint here: the rollout does not exist yet.
    """
    endpoint = load_endpoint(uow, command.endpoint, expected_version=expected_version)
    only_one_rollout_may_own_an_endpoint(endpoint.state)
    version = deployable_version(uow.catalogue, command.version, workspace=uow.actor.workspace)
    ready = ready_instances(uow.catalogue, endpoint.state.id, workspace=uow.actor.workspace)
    baseline = baseline_for(endpoint.state, version.reference, ready=ready)
    serving = deployable_version(uow.catalogue, baseline.version.version_id, workspace=uow.actor.workspace)
    signatures_must_go_together(command, candidate=version, baseline=serving)
    rollout_id = uow.new_id(Kind.ROLLOUT)
    reservation = reserve(endpoint.state, ReserveEndpoint(rollout_id=rollout_id))
    endpoint = append(uow, endpoint.state.id, endpoint, reservation)
    # The candidate is compared where the baseline is.
    regions = endpoint.state.deployments.regions_of(baseline.deployment_id)
    endpoint, deployment_id = add_version(
        uow, endpoint, version=command.version, replicas=command.replicas, regions=regions
    )
    candidate = endpoint.state.deployments.find(deployment_id)
    assert candidate is not None, "its deployment was just added"
    decision = start(command, endpoint=endpoint.state, candidate=candidate, baseline=baseline)
    rollout = _append(uow, rollout_id, decision, expected_version=0)
    return _rollout_reply(rollout, status=_CREATED)


def command_rollout(
    uow: UnitOfWork, rollout_id: str, command: Command, *, expected_version: int | None = None
) -> Reply:
    """Warm-up report, pause, resume, promote or abort."""
    rollout, _decision = _decide(uow, rollout_id, command, expected_version=expected_version)
    return _rollout_reply(rollout)


def report_measurement(
    uow: UnitOfWork, rollout_id: str, measurement: Measurement, *, expected_version: int | None = None
) -> Reply:
    """Decide on a measurement; the answer says what was concluded, also where nothing is written."""
    command = JudgeStep(measurement=measurement)
    rollout, decision = _decide(uow, rollout_id, command, expected_version=expected_version)
    judged = JudgedResource(**shared(rollout.state, Standing) | {"verdicts": decision.verdicts}, decision=decision.verb)
    return Reply(status=_OK, body=msgspec.json.encode(judged), stream_version=rollout.version)


def report_measured_rollout(uow: UnitOfWork, measured: MeasuredRollout) -> Reply:
    """Decide on one measurement of many."""
    return report_measurement(uow, measured.rollout_id, measured.measurement)


def rollback_endpoint(
    uow: UnitOfWork, endpoint: str, request: RollbackRequest, *, expected_version: int | None
) -> Reply:
    """Go back to an earlier traffic; an active rollout is aborted first, which may be all that is needed."""
    loaded = load_endpoint(uow, endpoint, expected_version=expected_version)
    owner = loaded.state.traffic.owner
    if owner is not None:
        abort = AbortRollout(reason=f"the endpoint is rolled back: {request.reason}")
        _decide(uow, owner, abort, expected_version=None)
        loaded = uow.load(ENDPOINTS, loaded.state.id)
    if owner is None or request.epoch is not None:
        command = RestoreTraffic(epoch=request.epoch, reason=request.reason)
        ready = ready_instances(uow.catalogue, loaded.state.id, workspace=uow.actor.workspace)
        loaded = append(uow, loaded.state.id, loaded, restore_traffic(loaded.state, command, ready=ready))
    return endpoint_reply(uow, loaded)


def _decide(
    uow: UnitOfWork, rollout_id: str, command: Command, *, expected_version: int | None
) -> tuple[Loaded[RolloutState], Decision]:
    rollout = _load(uow, rollout_id, expected_version=expected_version)
    endpoint = uow.load(ENDPOINTS, rollout.state.endpoint_id)
    decision = decide(rollout.state, command, next_epoch=endpoint.version + 1)
    if not decision.events:
        return rollout, decision
    rollout = _append(uow, rollout_id, decision, expected_version=rollout.version)
    for event in decision.events:
        endpoint = _follow(uow, endpoint, rollout.state, event)
    return rollout, decision


def _load(uow: UnitOfWork, rollout_id: str, *, expected_version: int | None) -> Loaded[RolloutState]:
    if kind_of(rollout_id) is not Kind.ROLLOUT:
        raise unknown_rollout(rollout_id)
    rollout = uow.load(ROLLOUTS, rollout_id)
    if rollout.state is None:
        raise unknown_rollout(rollout_id)
    require_version(rollout.version, expected_version)
    return Loaded(rollout.state, rollout.version)


def _append(uow: UnitOfWork, rollout_id: str, decision: Decision, *, expected_version: int) -> Loaded[RolloutState]:
    rollout = uow.append(ROLLOUTS, rollout_id, expected_version=expected_version, events=decision.events)
    assert rollout.state is not None, "the first event starts the rollout"
    return Loaded(rollout.state, rollout.version)


def _follow(
    uow: UnitOfWork, endpoint: Loaded[Endpoint], rollout: RolloutState, event: msgspec.Struct
) -> Loaded[Endpoint]:
    """Carry out on the endpoint what an event of its rollout says."""
    match event:
        case StepStarted(step=step, weight_percent=weight, epoch=epoch, reason=reason):
            weights = ((rollout.baseline_deployment_id, _WHOLE - weight), (rollout.candidate_deployment_id, weight))
            shift = SetTraffic(weights=weights, reason=reason, rollout_id=rollout.id, step=step)
            return _shift(uow, endpoint, shift, epoch=epoch)
        case RolloutAborted(step=step, epoch=epoch, reason=reason):
            if epoch is not None:
                everything = ((rollout.baseline_deployment_id, _WHOLE),)
                back = SetTraffic(weights=everything, reason=reason, rollout_id=rollout.id, step=step)
                endpoint = _shift(uow, endpoint, back, epoch=epoch)
            return _end(uow, endpoint, rollout, removed=rollout.candidate_deployment_id)
        case RolloutCompleted():
            return _end(uow, endpoint, rollout, removed=rollout.baseline_deployment_id)
        case _:
            return endpoint


def _shift(uow: UnitOfWork, endpoint: Loaded[Endpoint], shift: SetTraffic, *, epoch: int) -> Loaded[Endpoint]:
    endpoint = append(uow, endpoint.state.id, endpoint, set_traffic(endpoint.state, shift, ready=None))
    assert endpoint.state.traffic.epoch == epoch, "the rollout's event must name the traffic it caused"
    return endpoint


def _end(uow: UnitOfWork, endpoint: Loaded[Endpoint], rollout: RolloutState, *, removed: str) -> Loaded[Endpoint]:
    """Take away the deployment that nothing goes to any more, and give the endpoint back."""
    state = endpoint.state
    removal = RemoveDeployment(deployment_id=removed, reason=f"{rollout.id} is {rollout.phase}")
    events: Sequence[msgspec.Struct] = (
        *remove_deployment(state, removal, by_rollout=rollout.id),
        *release(state, ReleaseEndpoint(rollout_id=rollout.id)),
    )
    return append(uow, state.id, endpoint, events)


def _rollout_reply(rollout: Loaded[RolloutState], *, status: int = _OK) -> Reply:
    return Reply(
        status=status, body=msgspec.json.encode(rollout_resource(rollout.state)), stream_version=rollout.version
    )
