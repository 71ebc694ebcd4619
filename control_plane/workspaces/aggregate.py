"""A workspace: created, closed. Its events belong to itself, so that its log tells its whole life."""

import msgspec

from control_plane.ports import Aggregate, CatalogueRow, EventContext
from control_plane.workspaces.commands import CloseWorkspace, CreateWorkspace
from control_plane.workspaces.errors import WorkspaceExistsError
from schemas.documents.streams import StreamBase
from schemas.events.workspaces import WorkspaceClosed, WorkspaceCreated
from schemas.identifiers import Kind


class Workspace(StreamBase, frozen=True, kw_only=True):
    """State, and body of the catalogue's row; its name is that of the workspace which its events belong to."""

    name: str = ""
    description: str = ""
    closed_at: str | None = None


def evolve(state: Workspace, event: msgspec.Struct, context: EventContext) -> Workspace:
    """Fold one event; it happened, so nothing is refused here."""
    return msgspec.structs.replace(
        _evolved(state, event, context.at),
        id=context.stream,
        workspace=context.workspace,
        created_at=state.created_at or context.at,
        stream_version=context.version,
    )


def _evolved(state: Workspace, event: msgspec.Struct, at: str) -> Workspace:
    match event:
        case WorkspaceCreated():
            return msgspec.structs.replace(state, name=event.name, description=event.description)
        case WorkspaceClosed():
            return msgspec.structs.replace(state, closed_at=at)
        case _:
            return state


def row(state: Workspace) -> CatalogueRow | None:
    """Show a workspace; in its own, the name lets no second one be created."""
    if not state.name:
        return None
    return CatalogueRow(
        workspace=state.workspace,
        kind=Kind.WORKSPACE,
        id=state.id,
        name=state.name,
        phase="closed" if state.closed_at else "open",
        created_at=state.created_at,
        stream_version=state.stream_version,
        body=msgspec.json.encode(state),
    )


WORKSPACES = Aggregate(kind=Kind.WORKSPACE, body=Workspace, initial=Workspace(), evolve=evolve, row=row)


def create(state: Workspace, command: CreateWorkspace) -> list[msgspec.Struct]:
    """Decide on a new workspace."""
    if state.name:
        raise WorkspaceExistsError(state.name)
    return [WorkspaceCreated(name=command.name, description=command.description)]


def close(state: Workspace, command: CloseWorkspace) -> list[msgspec.Struct]:
    """Decide on the end; closed twice is closed once."""
    return [] if state.closed_at else [WorkspaceClosed(reason=command.reason)]
