"""The instance: one engine process on one host, from its announcement to its end. Its state is its document."""

import msgspec
from msgspec.structs import asdict, replace

from control_plane.ports import EventContext
from schemas.documents.endpoints import Instance
from schemas.events.endpoints import InstanceAnnounced, InstanceFailed, InstanceFoundUnhealthy, InstanceWithdrawn

NO_INSTANCE = Instance(
    id="",
    workspace="",
    endpoint_id="",
    deployment_id="",
    agent_id="",
    phase="",
    created_at="",
    stream_version=0,
)
"""Before its first event."""


def evolve(state: Instance, event: msgspec.Struct, context: EventContext) -> Instance:
    """Fold one event; it happened, so nothing is refused here."""
    if state.stream_version == 0:
        state = replace(state, id=context.stream, workspace=context.workspace, created_at=context.at)
    return replace(_evolved(state, event), stream_version=context.version)


def _evolved(state: Instance, event: msgspec.Struct) -> Instance:
    match event:
        case InstanceAnnounced():
            return replace(state, phase="announced", **asdict(event), code=None, reason=None)
        case InstanceFoundUnhealthy(code=code):
            return replace(state, code=code)
        case InstanceWithdrawn(reason=reason):
            return replace(state, phase="withdrawn", reason=reason)
        case InstanceFailed():
            return replace(state, phase="failed", **asdict(event))
        case _:
            return state
