"""The state of scaling: the policy, and how many replicas each deployment is to have."""

from collections.abc import Mapping

import msgspec

from control_plane.endpoints.folds import Folds
from control_plane.ports import EventContext
from schemas.envelope import unix_ms
from schemas.events.endpoints import DeploymentAdded, DeploymentRemoved, ReplicasChanged, ScalingPolicySet
from schemas.scaling import ScalingPolicy


class Replicas(msgspec.Struct, frozen=True):
    """How many instances a deployment is to have, since when, and the stream version of the event that says so."""

    count: int
    changed_at_ms: int
    version: int


class Scaling(msgspec.Struct, frozen=True, kw_only=True):
    """`version` is the stream version of the event that set the policy, 0 without one.

    `replicas` is the current count of each deployment, whereas a deployment's own is the one that it was added with.
    """

    policy: ScalingPolicy | None = None
    version: int = 0
    replicas: Mapping[str, Replicas] = {}

    def version_of(self, deployment_id: str) -> int:
        """Return the version of the last event that a measurement of a deployment must know of."""
        return max(self.version, self.replicas[deployment_id].version)


def _policy_set(state: Scaling, event: ScalingPolicySet, context: EventContext) -> Scaling:
    return msgspec.structs.replace(state, policy=event.policy, version=context.version)


def _added(state: Scaling, event: DeploymentAdded, context: EventContext) -> Scaling:
    return _with_count(state, event.deployment_id, event.replicas, context)


def _changed(state: Scaling, event: ReplicasChanged, context: EventContext) -> Scaling:
    return _with_count(state, event.deployment_id, event.to_replicas, context)


def _removed(state: Scaling, event: DeploymentRemoved, _context: EventContext) -> Scaling:
    others = {key: count for key, count in state.replicas.items() if key != event.deployment_id}
    return msgspec.structs.replace(state, replicas=others)


def _with_count(state: Scaling, deployment_id: str, count: int, context: EventContext) -> Scaling:
    replicas = Replicas(count, unix_ms(context.at), context.version)
    return msgspec.structs.replace(state, replicas={**state.replicas, deployment_id: replicas})


SCALING_FOLDS: Folds[Scaling] = {
    ScalingPolicySet: _policy_set,
    DeploymentAdded: _added,
    ReplicasChanged: _changed,
    DeploymentRemoved: _removed,
}
