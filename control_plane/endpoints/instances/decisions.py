"""What is recorded of an instance: that it takes traffic, that it does not any more, that it was given up."""

import msgspec

from control_plane.endpoints import errors
from schemas.documents.endpoints import Instance
from schemas.events.endpoints import InstanceAnnounced, InstanceFailed, InstanceFoundUnhealthy, InstanceWithdrawn
from schemas.instances import AnnounceInstance, FailInstance, WithdrawInstance


def announce(state: Instance, command: AnnounceInstance) -> list[msgspec.Struct]:
    """Say where the instance takes traffic; said again after a restart with another boot id or port."""
    belongs_elsewhere = state.deployment_id not in ("", command.deployment_id)
    if belongs_elsewhere:
        raise errors.InstanceChangedError(
            f"instance {state.id} belongs to {state.deployment_id}",
            field="deployment_id",
            remedy="announce under another instance id",
        )
    event = msgspec.convert(command, InstanceAnnounced, from_attributes=True)
    is_known = state.phase == "announced" and msgspec.convert(state, InstanceAnnounced, from_attributes=True) == event
    return [] if is_known else [event]


def withdraw(state: Instance, command: WithdrawInstance) -> list[msgspec.Struct]:
    """Take an instance out of the traffic; one that takes none stays as it is."""
    if state.phase != "announced":
        return []
    withdrawn = InstanceWithdrawn(
        endpoint_id=state.endpoint_id, deployment_id=state.deployment_id, reason=command.reason
    )
    if command.code is None:
        return [withdrawn]
    found = InstanceFoundUnhealthy(
        endpoint_id=state.endpoint_id,
        deployment_id=state.deployment_id,
        agent_id=state.agent_id,
        code=command.code,
        reason=command.reason,
    )
    return [found, withdrawn]


def forget(state: Instance, *, reason: str) -> list[msgspec.Struct]:
    """Withdraw an instance that failed, as nobody needs to know of it any more."""
    if state.phase != "failed":
        return []
    return [InstanceWithdrawn(endpoint_id=state.endpoint_id, deployment_id=state.deployment_id, reason=reason)]


def fail(state: Instance, command: FailInstance) -> list[msgspec.Struct]:
    """Record that the agent gave up on an instance."""
    event = InstanceFailed(**msgspec.structs.asdict(command))
    is_known = state.phase == "failed" and (state.code, state.reason) == (event.code, event.reason)
    return [] if is_known else [event]
