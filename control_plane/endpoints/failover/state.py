"""The state of failover: the policy, and which failovers go on."""

import msgspec

from control_plane.endpoints.folds import Folds
from control_plane.ports import EventContext
from schemas.events.endpoints import (
    DeploymentRemoved,
    FailoverEnded,
    FailoverPolicy,
    FailoverPolicySet,
    FailoverStarted,
)


class Failover(msgspec.Struct, frozen=True, kw_only=True):
    """`current` are the failovers that have started and not ended, at most one for a deployment in a region."""

    policy: FailoverPolicy = FailoverPolicy()
    current: tuple[FailoverStarted, ...] = ()

    def find(self, region: str, deployment_id: str) -> FailoverStarted | None:
        """Return the current failover of a deployment in a region."""
        return next((each for each in self.current if _is_of(each, region, deployment_id)), None)


def _policy_set(state: Failover, event: FailoverPolicySet, _context: EventContext) -> Failover:
    return msgspec.structs.replace(state, policy=event.policy)


def _started(state: Failover, event: FailoverStarted, _context: EventContext) -> Failover:
    others = _without(state.current, event.region, event.deployment_id)
    return msgspec.structs.replace(state, current=(*others, event))


def _ended(state: Failover, event: FailoverEnded, _context: EventContext) -> Failover:
    return msgspec.structs.replace(state, current=_without(state.current, event.region, event.deployment_id))


def _removed(state: Failover, event: DeploymentRemoved, _context: EventContext) -> Failover:
    others = tuple(each for each in state.current if each.deployment_id != event.deployment_id)
    return msgspec.structs.replace(state, current=others)


def _is_of(failover: FailoverStarted, region: str, deployment_id: str) -> bool:
    return (failover.region, failover.deployment_id) == (region, deployment_id)


def _without(failovers: tuple[FailoverStarted, ...], region: str, deployment_id: str) -> tuple[FailoverStarted, ...]:
    return tuple(each for each in failovers if not _is_of(each, region, deployment_id))


FAILOVER_FOLDS: Folds[Failover] = {
    FailoverPolicySet: _policy_set,
    FailoverStarted: _started,
    FailoverEnded: _ended,
    DeploymentRemoved: _removed,
}
