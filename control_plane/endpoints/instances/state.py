"""The instance: one engine process on one host, from its announcement to its end."""

from typing import Literal

import msgspec

from control_plane.ports import EventContext
from schemas.events.endpoints import InstanceAnnounced, InstanceFailed, InstanceFoundUnhealthy, InstanceWithdrawn

InstancePhase = Literal["", "announced", "withdrawn", "failed"]


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """What decisions and the catalogue need of an instance; `address` is the last announcement."""

    id: str = ""
    workspace: str = ""
    created_at: str = ""
    stream_version: int = 0
    phase: InstancePhase = ""
    endpoint_id: str = ""
    deployment_id: str = ""
    agent_id: str = ""
    address: InstanceAnnounced | None = None
    code: str | None = None
    reason: str | None = None


def evolve(state: Instance, event: msgspec.Struct, context: EventContext) -> Instance:
    """Fold one event; it happened, so nothing is refused here."""
    if state.stream_version == 0:
        state = Instance(id=context.stream, workspace=context.workspace, created_at=context.at)
    return msgspec.structs.replace(_evolved(state, event), stream_version=context.version)


def _evolved(state: Instance, event: msgspec.Struct) -> Instance:
    replace = msgspec.structs.replace
    match event:
        case InstanceAnnounced():
            return replace(
                state,
                phase="announced",
                endpoint_id=event.endpoint_id,
                deployment_id=event.deployment_id,
                agent_id=event.agent_id,
                address=event,
                code=None,
                reason=None,
            )
        case InstanceFoundUnhealthy(code=code):
            return replace(state, code=code)
        case InstanceWithdrawn(reason=reason):
            return replace(state, phase="withdrawn", reason=reason)
        case InstanceFailed():
            return replace(
                state,
                phase="failed",
                endpoint_id=event.endpoint_id,
                deployment_id=event.deployment_id,
                agent_id=event.agent_id,
                code=event.code,
                reason=event.reason,
            )
        case _:
            return state
