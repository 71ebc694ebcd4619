"""Facts about workspaces, the tenants of an installation."""

import msgspec


class WorkspaceCreated(msgspec.Struct, frozen=True, kw_only=True):
    """A workspace was created: from now on, principals, models and endpoints can belong to it."""

    name: str
    description: str


class WorkspaceClosed(msgspec.Struct, frozen=True, kw_only=True):
    """Nobody can act in the workspace any more; its log stays."""

    reason: str


EVENTS: dict[str, type[msgspec.Struct]] = {
    "workspaces.WorkspaceClosed.v1": WorkspaceClosed,
    "workspaces.WorkspaceCreated.v1": WorkspaceCreated,
}
