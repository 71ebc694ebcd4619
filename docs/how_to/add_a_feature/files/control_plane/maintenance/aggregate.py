"""One maintenance of an endpoint: announced, begun, ended."""

from typing import Literal

import msgspec

from control_plane.maintenance.commands import AnnounceMaintenance, BeginMaintenance, EndMaintenance
from control_plane.maintenance.errors import MaintenanceNotBegunError, MaintenanceOverError
from control_plane.ports import Aggregate, CatalogueRow, EventContext
from schemas.documents.streams import StreamBase
from schemas.envelope import rfc3339
from schemas.events.maintenance import MaintenanceAnnounced, MaintenanceBegun, MaintenanceEnded
from schemas.identifiers import Kind

Phase = Literal["", "announced", "begun", "ended"]


class Maintenance(StreamBase, frozen=True, kw_only=True):
    """State, body of the catalogue's row, and what callers see; `starts_at` and `ends_at` are what was announced."""

    phase: Phase = ""
    endpoint_id: str = ""
    endpoint: str = ""
    reason: str = ""
    starts_at: str = ""
    ends_at: str = ""
    begun_at: str | None = None
    ended_at: str | None = None


def evolve(state: Maintenance, event: msgspec.Struct, context: EventContext) -> Maintenance:
    """Fold one event; it happened, so nothing is refused here."""
    return msgspec.structs.replace(
        _evolved(state, event, context.at),
        id=context.stream,
        workspace=context.workspace,
        created_at=state.created_at or context.at,
        stream_version=context.version,
    )


def _evolved(state: Maintenance, event: msgspec.Struct, at: str) -> Maintenance:
    replace = msgspec.structs.replace
    match event:
        case MaintenanceAnnounced():
            return replace(
                state,
                phase="announced",
                endpoint_id=event.endpoint_id,
                endpoint=event.endpoint_name,
                reason=event.reason,
                starts_at=event.starts_at,
                ends_at=event.ends_at,
            )
        case MaintenanceBegun():
            return replace(state, phase="begun", begun_at=at)
        case MaintenanceEnded():
            return replace(state, phase="ended", ended_at=at)
        case _:
            return state


def row(state: Maintenance) -> CatalogueRow | None:
    """Show what was announced, below its endpoint."""
    if not state.phase:
        return None
    return CatalogueRow(
        workspace=state.workspace,
        kind=Kind.MAINTENANCE,
        id=state.id,
        name=None,
        parent_id=state.endpoint_id,
        phase=state.phase,
        created_at=state.created_at,
        stream_version=state.stream_version,
        body=msgspec.json.encode(state),
    )


MAINTENANCES = Aggregate(kind=Kind.MAINTENANCE, body=Maintenance, initial=Maintenance(), evolve=evolve, row=row)


def announce(command: AnnounceMaintenance, *, endpoint_id: str, now_ms: int) -> list[msgspec.Struct]:
    """Decide on an announcement."""
    starts_ms = now_ms + command.starts_in_s * 1_000
    announced = MaintenanceAnnounced(
        endpoint_id=endpoint_id,
        endpoint_name=command.endpoint,
        starts_at=rfc3339(starts_ms),
        ends_at=rfc3339(starts_ms + command.lasts_s * 1_000),
        reason=command.reason,
    )
    return [announced]


def begin(state: Maintenance, command: BeginMaintenance) -> list[msgspec.Struct]:
    """Decide on the beginning, which may be earlier or later than announced; begun twice is begun once."""
    if state.phase == "ended":
        raise MaintenanceOverError(state.id)
    if state.phase == "begun":
        return []
    return [MaintenanceBegun(endpoint_id=state.endpoint_id, reason=command.reason)]


def end(state: Maintenance, command: EndMaintenance) -> list[msgspec.Struct]:
    """Decide on the end; ended twice is ended once."""
    if state.phase == "announced":
        raise MaintenanceNotBegunError(state.id)
    if state.phase == "ended":
        return []
    return [MaintenanceEnded(endpoint_id=state.endpoint_id, reason=command.reason)]
