"""Which workspaces there are, kept in memory, as every request asks for one."""

from collections.abc import Callable, Mapping
from threading import Lock

import msgspec

from control_plane.ports import Catalogue
from control_plane.workspaces.aggregate import Workspace
from schemas.identifiers import Kind


class WorkspaceDirectory:
    """Implements `Workspaces`; the API's process is the only writer, so that its own changes are all there are.

    The home workspace is there from the first start and has no events. From it, the installation is administered.
    """

    def __init__(self, catalogue: Callable[[], Catalogue], *, home: str) -> None:
        """Read the workspaces once."""
        self.home = home
        self._catalogue = catalogue
        self._known: Mapping[str, Workspace] = {}
        self._refreshing = Lock()
        self.refresh()

    def is_open(self, name: str) -> bool:
        """Return whether someone may act in a workspace of this name."""
        return name == self.home or (name in self._known and self._known[name].closed_at is None)

    def is_known(self, name: str) -> bool:
        """Return whether there is such a workspace, open or closed."""
        return name == self.home or name in self._known

    def refresh(self) -> None:
        """Read the workspaces again; safe from any thread."""
        with self._refreshing:
            rows = self._catalogue().of_all_workspaces(Kind.WORKSPACE)
            found = [msgspec.json.decode(row.body, type=Workspace) for row in rows]
            self._known = {each.name: each for each in found}

    def all(self) -> list[Workspace]:
        """Return the workspaces by name."""
        home = Workspace(name=self.home, workspace=self.home)
        return sorted([home, *self._known.values()], key=lambda each: each.name)
