"""Carries out the commands on workspaces. Both run in the workspace that they are about."""

from collections.abc import Callable, Sequence

import msgspec

from control_plane.ports import HasHome, Reply, UnitOfWork
from control_plane.workspaces import aggregate
from control_plane.workspaces.aggregate import WORKSPACES, Workspace
from control_plane.workspaces.commands import CloseWorkspace, CreateWorkspace
from control_plane.workspaces.errors import (
    HomeWorkspaceError,
    WorkspaceExistsError,
    WorkspaceInUseError,
    WorkspaceNotFoundError,
)
from schemas.identifiers import DEFAULT_WORKSPACE, Kind

_OK, _CREATED = 200, 201

Furnish = Callable[[UnitOfWork], None]
"""Appends what else every workspace has from its first moment on, in the same transaction."""
EndpointNames = Callable[[UnitOfWork], Sequence[str]]
"""Returns the names of some of the workspace's endpoints."""


class ShownWorkspace(msgspec.Struct, frozen=True, kw_only=True):
    """A workspace as administrators see it; the home workspace has no time of creation."""

    name: str
    description: str
    is_home: bool
    created_at: str | None
    closed_at: str | None

    @property
    def id(self) -> str:
        """By which lists are ordered."""
        return self.name


def create_workspace(directory: HasHome, unit: UnitOfWork, command: CreateWorkspace, furnish: Furnish) -> Reply:
    """Create a workspace with what it has from its first moment on."""
    # Earlier releases know no other workspace than the default one.
    if command.name in {directory.home, DEFAULT_WORKSPACE}:
        raise WorkspaceExistsError(command.name)
    stream = _stream_of(unit, command.name) or unit.new_id(Kind.WORKSPACE)
    before = unit.load(WORKSPACES, stream)
    events = aggregate.create(before.state, command)
    after = unit.append(WORKSPACES, stream, expected_version=before.version, events=events)
    furnish(unit)
    return _reply(after.state, status=_CREATED)


def close_workspace(
    directory: HasHome, endpoints: EndpointNames, unit: UnitOfWork, workspace: str, command: CloseWorkspace
) -> Reply:
    """Close a workspace that has no endpoints any more."""
    if workspace == directory.home:
        raise HomeWorkspaceError(workspace)
    stream = _stream_of(unit, workspace)
    if stream is None:
        raise WorkspaceNotFoundError(workspace)
    before = unit.load(WORKSPACES, stream)
    events = aggregate.close(before.state, command)
    still_there = endpoints(unit) if events else ()
    if still_there:
        raise WorkspaceInUseError(workspace, still_there)
    after = unit.append(WORKSPACES, stream, expected_version=before.version, events=events)
    return _reply(after.state, status=_OK)


def shown(state: Workspace, *, is_home: bool = False) -> ShownWorkspace:
    """Leave out where the stream is."""
    return ShownWorkspace(
        name=state.name,
        description=state.description,
        is_home=is_home,
        created_at=state.created_at or None,
        closed_at=state.closed_at,
    )


def _stream_of(unit: UnitOfWork, name: str) -> str | None:
    return unit.catalogue.id_of(Kind.WORKSPACE, name, workspace=name)


def _reply(state: Workspace, *, status: int) -> Reply:
    return Reply(status=status, body=msgspec.json.encode(shown(state)), stream_version=state.stream_version)
