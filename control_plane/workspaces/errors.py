"""What can be wrong with commands on workspaces.

Unknown  ── WorkspaceNotFoundError
Conflict ── WorkspaceExistsError
Refused  ── HomeWorkspaceError, WorkspaceInUseError
"""

from collections.abc import Sequence

from control_plane.errors import Conflict, Refused, Unknown


class WorkspaceNotFoundError(Unknown):
    """No workspace has this name."""

    code = "workspace-not-found"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"there is no workspace {name}", field="workspace", remedy="list them with GET /v1/workspaces, or create it"
        )


class WorkspaceExistsError(Conflict):
    """A workspace has this name already, or had it until it was closed."""

    code = "workspace-exists"

    def __init__(self, name: str) -> None:
        super().__init__(f"the name {name} is taken by a workspace", field="name", remedy="choose another name")


class HomeWorkspaceError(Refused):
    """The home workspace, from which the installation is administered, cannot be closed."""

    code = "home-workspace"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} is the home workspace of this installation and stays open",
            field="workspace",
            remedy="close another workspace",
        )


class WorkspaceInUseError(Refused):
    """The workspace still has endpoints."""

    code = "workspace-in-use"

    def __init__(self, name: str, endpoints: Sequence[str]) -> None:
        super().__init__(
            f"workspace {name} still has endpoints: {', '.join(endpoints)}",
            field="workspace",
            remedy="remove them first: POST /v1/endpoints/{endpoint}/remove",
        )
