"""The endpoint: its deployments, how its traffic is split, and who may change that."""

import re
from collections.abc import Mapping

import msgspec

from control_plane.endpoints import errors
from control_plane.endpoints.adapters import adapters_run_beside_their_parent, has_adapters
from control_plane.endpoints.commands import (
    AddDeployment,
    CreateEndpoint,
    ReleaseEndpoint,
    RemoveDeployment,
    ReserveEndpoint,
    RestoreTraffic,
    SetTraffic,
)
from control_plane.endpoints.policies import buckets_of, reallocate, weights_of
from control_plane.ports import EventContext
from schemas.envelope import unix_ms
from schemas.events.endpoints import (
    BUCKETS,
    DEFAULT_KEY,
    Allocation,
    AssignmentKey,
    AssignmentKeyChosen,
    CapturePolicy,
    CapturePolicyChanged,
    DeploymentAdded,
    DeploymentPlaced,
    DeploymentRemoved,
    EndpointCreated,
    EndpointReleased,
    EndpointReserved,
    FailoverEnded,
    FailoverPolicy,
    FailoverPolicySet,
    FailoverStarted,
    ReplicasChanged,
    ScalingPolicySet,
    ShadowRemoved,
    ShadowSet,
    TrafficApplied,
    TrafficShifted,
)
from schemas.scaling import ScalingPolicy

_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?", re.IGNORECASE | re.ASCII)
_MAX_REPLICAS = 1_000
_EPOCHS_KEPT = 100


class Epoch(msgspec.Struct, frozen=True):
    """A split that the endpoint had, under the stream version of its event."""

    number: int
    allocations: tuple[Allocation, ...]


class Replicas(msgspec.Struct, frozen=True):
    """How many instances a deployment is to have, since when, and the stream version of the event that says so."""

    count: int
    changed_at_ms: int
    version: int


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What decisions and the catalogue need of an endpoint; `epochs` ends with the current one.

    `capture_version` is the stream version of the event that set the capture policy, 0 for the default.
    `placements` are the latest of each deployment, `failovers` the current ones. `replicas` is the current count
    of each deployment, whereas a deployment's own is the one that it was added with.
    """

    id: str = ""
    workspace: str = ""
    name: str = ""
    description: str = ""
    salt: str = ""
    created_at: str = ""
    stream_version: int = 0
    deployments: tuple[DeploymentAdded, ...] = ()
    epochs: tuple[Epoch, ...] = ()
    applied: tuple[TrafficApplied, ...] = ()
    owner: str | None = None
    capture: CapturePolicy = CapturePolicy()
    capture_version: int = 0
    scaling: ScalingPolicy | None = None
    scaling_version: int = 0
    replicas: Mapping[str, Replicas] = {}
    failover: FailoverPolicy = FailoverPolicy()
    placements: tuple[DeploymentPlaced, ...] = ()
    failovers: tuple[FailoverStarted, ...] = ()
    shadow: ShadowSet | None = None
    assigned_by: AssignmentKey = DEFAULT_KEY

    @property
    def epoch(self) -> int | None:
        return self.epochs[-1].number if self.epochs else None

    @property
    def allocations(self) -> tuple[Allocation, ...]:
        return self.epochs[-1].allocations if self.epochs else ()

    def deployment(self, deployment_id: str) -> DeploymentAdded | None:
        """Return a deployment that was added and not removed."""
        return next((each for each in self.deployments if each.deployment_id == deployment_id), None)

    def regions_of(self, deployment_id: str) -> tuple[str, ...]:
        """Return the regions that a deployment is placed in; none where it is wherever an agent is."""
        return next((each.regions for each in self.placements if each.deployment_id == deployment_id), ())

    def failover_of(self, region: str, deployment_id: str) -> FailoverStarted | None:
        """Return the current failover of a deployment in a region."""
        return next((each for each in self.failovers if _is_of(each, region, deployment_id)), None)


def evolve(state: Endpoint, event: msgspec.Struct, context: EventContext) -> Endpoint:
    """Fold one event; it happened, so nothing is refused here."""
    return msgspec.structs.replace(_evolved(state, event, context), stream_version=context.version)


def _evolved(  # noqa: PLR0911  one an event
    state: Endpoint, event: msgspec.Struct, context: EventContext
) -> Endpoint:
    replace = msgspec.structs.replace
    match event:
        case EndpointCreated(name=name, description=description, salt=salt):
            return Endpoint(
                id=context.stream,
                workspace=context.workspace,
                name=name,
                description=description,
                salt=salt,
                created_at=context.at,
            )
        case DeploymentAdded():
            counts = {**state.replicas, event.deployment_id: _replicas(event.replicas, context)}
            return replace(state, deployments=(*state.deployments, event), replicas=counts)
        case DeploymentRemoved(deployment_id=gone):
            return replace(
                state,
                replicas={key: count for key, count in state.replicas.items() if key != gone},
                deployments=tuple(each for each in state.deployments if each.deployment_id != gone),
                placements=tuple(each for each in state.placements if each.deployment_id != gone),
                failovers=tuple(each for each in state.failovers if each.deployment_id != gone),
            )
        case TrafficShifted(allocations=allocations):
            epochs = (*state.epochs, Epoch(context.version, allocations))
            return replace(state, epochs=epochs[-_EPOCHS_KEPT:], applied=())
        case TrafficApplied():
            return replace(state, applied=(*state.applied, event))
        case EndpointReserved(rollout_id=rollout_id):
            return replace(state, owner=rollout_id)
        case EndpointReleased():
            return replace(state, owner=None)
        case _:
            return _with_failover(state, event, context)


def _with_failover(state: Endpoint, event: msgspec.Struct, context: EventContext) -> Endpoint:
    replace = msgspec.structs.replace
    match event:
        case DeploymentPlaced(deployment_id=placed):
            others = tuple(each for each in state.placements if each.deployment_id != placed)
            return replace(state, placements=(*others, event))
        case FailoverPolicySet(policy=failover):
            return replace(state, failover=failover)
        case FailoverStarted(region=region, deployment_id=routed):
            return replace(state, failovers=(*_without(state.failovers, region, routed), event))
        case FailoverEnded(region=region, deployment_id=routed):
            return replace(state, failovers=_without(state.failovers, region, routed))
        case _:
            return _with_scaling(state, event, context)


def _with_scaling(state: Endpoint, event: msgspec.Struct, context: EventContext) -> Endpoint:
    replace = msgspec.structs.replace
    match event:
        case ScalingPolicySet(policy=scaling):
            return replace(state, scaling=scaling, scaling_version=context.version)
        case ReplicasChanged(deployment_id=scaled, to_replicas=count):
            return replace(state, replicas={**state.replicas, scaled: _replicas(count, context)})
        case _:
            return _with_choice(state, event, context)


def _with_choice(state: Endpoint, event: msgspec.Struct, context: EventContext) -> Endpoint:
    """Fold what was chosen for the endpoint beside its traffic."""
    replace = msgspec.structs.replace
    match event:
        case CapturePolicyChanged(policy=policy):
            return replace(state, capture=policy, capture_version=context.version)
        case ShadowSet():
            return replace(state, shadow=event)
        case ShadowRemoved():
            return replace(state, shadow=None)
        case AssignmentKeyChosen(key=key):
            return replace(state, assigned_by=key)
        case _:
            return state


def _replicas(count: int, context: EventContext) -> Replicas:
    return Replicas(count, unix_ms(context.at), context.version)


def create(command: CreateEndpoint) -> list[msgspec.Struct]:
    """Create an endpoint; whether the name is free is the catalogue's knowledge."""
    if not _NAME.fullmatch(command.name):
        raise errors.InvalidNameError(
            f"{command.name!r} is not a valid endpoint name",
            field="name",
            remedy="use 1 to 63 letters, digits, dots, dashes and underscores; begin and end with a letter or digit",
        )
    return [EndpointCreated(name=command.name, description=command.description, salt=command.salt)]


def add_deployment(state: Endpoint, command: AddDeployment) -> list[msgspec.Struct]:
    """Make a version available on the endpoint; it takes no traffic yet."""
    adapters_run_beside_their_parent(command.version, among=state.deployments)
    if not 1 <= command.replicas <= _MAX_REPLICAS:
        raise errors.InvalidReplicasError(
            f"a deployment cannot have {command.replicas} instances",
            field="replicas",
            remedy=f"give 1 to {_MAX_REPLICAS}",
        )
    return [
        DeploymentAdded(
            deployment_id=command.deployment_id,
            version=command.version.reference,
            artifact=command.version.artifact,
            signature=command.version.signature,
            golden=command.version.golden,
            replicas=command.replicas,
        )
    ]


def remove_deployment(state: Endpoint, command: RemoveDeployment, *, by_rollout: str | None) -> list[msgspec.Struct]:
    """Take a deployment away that serves nothing; a rollout that ends leaves a backup and a parent where they are."""
    _require_owner(state, by_rollout)
    deployment = state.deployment(command.deployment_id)
    if deployment is None:
        raise errors.DeploymentNotFoundError(
            f"endpoint {state.name} has no deployment {command.deployment_id}", remedy="list the endpoint's deployments"
        )
    if has_adapters(deployment, among=state.deployments):
        if by_rollout is not None:
            return []
        raise errors.DeploymentHasAdaptersError(
            f"adapters run in deployment {command.deployment_id}", remedy="remove the deployments of its adapters first"
        )
    if command.deployment_id == state.failover.backup_deployment_id:
        if by_rollout is not None:
            return []
        raise errors.DeploymentIsBackupError(
            f"deployment {command.deployment_id} is the backup of endpoint {state.name}",
            remedy="name another backup in the failover policy first, or none",
        )
    weight = weights_of(state.allocations).get(command.deployment_id)
    if weight:
        raise errors.DeploymentTakesTrafficError(
            f"deployment {command.deployment_id} serves {weight:g} % of endpoint {state.name}",
            remedy="shift its traffic to another deployment first",
        )
    if state.shadow and state.shadow.deployment_id == command.deployment_id:
        raise errors.DeploymentIsShadowError(
            f"deployment {command.deployment_id} is the shadow of endpoint {state.name}",
            remedy="remove the shadow first",
        )
    return [DeploymentRemoved(deployment_id=command.deployment_id, reason=command.reason)]


def set_traffic(state: Endpoint, command: SetTraffic, *, ready: Mapping[str, int] | None) -> list[msgspec.Struct]:
    """Split the traffic. `ready` counts the instances per deployment; None where readiness was settled before."""
    _require_owner(state, command.rollout_id)
    buckets = _buckets(state, command)
    allocations = reallocate(state.allocations, buckets)
    if weights_of(allocations) == weights_of(state.allocations):
        return []
    if ready is not None:
        _require_ready_deployments(state, allocations, ready, field="weights")
    shift = TrafficShifted(
        allocations=allocations, reason=command.reason, rollout_id=command.rollout_id, step=command.step
    )
    return [shift, *_without_serving_shadow(state, allocations)]


def restore_traffic(state: Endpoint, command: RestoreTraffic, *, ready: Mapping[str, int]) -> list[msgspec.Struct]:
    """Give each bucket back to the deployment that had it at an earlier epoch, if it has an instance to serve it."""
    _require_owner(state, None)
    earlier = _earlier(state, command.epoch)
    gone = [each.deployment_id for each in earlier.allocations if state.deployment(each.deployment_id) is None]
    if gone:
        raise errors.EarlierTrafficGoneError(
            f"epoch {earlier.number} of endpoint {state.name} was served by {' and '.join(gone)}, since removed",
            field="epoch",
            remedy="name another epoch, or add a deployment of that version and set the traffic",
        )
    if earlier.allocations == state.allocations:
        return []
    _require_ready_deployments(state, earlier.allocations, ready, field="epoch")
    shift = TrafficShifted(allocations=earlier.allocations, reason=command.reason, rollout_id=None, step=None)
    return [shift, *_without_serving_shadow(state, earlier.allocations)]


def reserve(state: Endpoint, command: ReserveEndpoint) -> list[msgspec.Struct]:
    """Give the traffic to a rollout, unless another has it."""
    _require_owner(state, command.rollout_id)
    return [] if state.owner == command.rollout_id else [EndpointReserved(rollout_id=command.rollout_id)]


def release(state: Endpoint, command: ReleaseEndpoint) -> list[msgspec.Struct]:
    """Take the traffic back from a rollout; one that does not have it has nothing to give."""
    return [EndpointReleased(rollout_id=command.rollout_id)] if state.owner == command.rollout_id else []


def _is_of(failover: FailoverStarted, region: str, deployment_id: str) -> bool:
    return (failover.region, failover.deployment_id) == (region, deployment_id)


def _without(failovers: tuple[FailoverStarted, ...], region: str, deployment_id: str) -> tuple[FailoverStarted, ...]:
    return tuple(each for each in failovers if not _is_of(each, region, deployment_id))


def _without_serving_shadow(state: Endpoint, allocations: tuple[Allocation, ...]) -> list[msgspec.Struct]:
    """A deployment that serves gets no copies; the shift is what was asked for, a rollback above all, and wins."""
    if state.shadow is None or not weights_of(allocations).get(state.shadow.deployment_id):
        return []
    return [ShadowRemoved(deployment_id=state.shadow.deployment_id, reason="the deployment takes traffic itself")]


def _require_owner(state: Endpoint, rollout_id: str | None) -> None:
    if state.owner not in (None, rollout_id):
        raise errors.EndpointOwnedByRolloutError(
            f"{state.owner} owns the traffic of endpoint {state.name}",
            remedy="wait until it is over, or abort it",
        )


def _require_ready_deployments(
    state: Endpoint, allocations: tuple[Allocation, ...], ready: Mapping[str, int], *, field: str
) -> None:
    """Where nothing is served yet nothing can be lost, so the first split may come before the first instance."""
    before = weights_of(state.allocations)
    for deployment_id, weight in weights_of(allocations).items():
        if before and weight > before.get(deployment_id, 0.0) and not ready.get(deployment_id):
            raise errors.DeploymentNotReadyError(
                f"no instance of {deployment_id} is ready, so it cannot take more traffic of endpoint {state.name}",
                field=field,
                remedy="wait until the endpoint shows its state as ready",
            )


def _buckets(state: Endpoint, command: SetTraffic) -> dict[str, int]:
    buckets: dict[str, int] = {}
    for index, (deployment_id, weight_percent) in enumerate(command.weights):
        if state.deployment(deployment_id) is None or deployment_id in buckets:
            what = "is named twice" if deployment_id in buckets else f"is not a deployment of endpoint {state.name}"
            raise errors.InvalidWeightsError(
                f"{deployment_id} {what}",
                field=f"weights[{index}].deployment_id",
                remedy="name each of the endpoint's deployments at most once",
            )
        share = buckets_of(weight_percent)
        if share is None:
            raise errors.InvalidWeightsError(
                f"{weight_percent:g} % is not a valid weight",
                field=f"weights[{index}].weight_percent",
                remedy="give 0 to 100 with at most two decimals",
            )
        buckets[deployment_id] = share
    if sum(buckets.values()) != BUCKETS:
        raise errors.InvalidWeightsError(
            f"the weights sum to {sum(buckets.values()) * 100 / BUCKETS:g} %, not 100 %",
            field="weights",
            remedy="change the weights so that they sum to 100",
        )
    return buckets


def _earlier(state: Endpoint, epoch: int | None) -> Epoch:
    """Return the named epoch; without a name, the last other split that can still be served."""
    for each in reversed(state.epochs):
        if each.number == epoch:
            return each
        is_other = each.allocations != state.allocations
        if epoch is None and is_other and all(state.deployment(part.deployment_id) for part in each.allocations):
            return each
    known = ", ".join(str(each.number) for each in state.epochs[-5:]) or "none"
    what = "no earlier traffic split that can still be served" if epoch is None else f"no epoch {epoch}"
    raise errors.EarlierTrafficGoneError(
        f"endpoint {state.name} has {what}",
        field="epoch",
        remedy=f"its last epochs are {known}; a version whose deployment was removed has to be added again",
    )
