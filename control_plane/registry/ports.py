"""What the registry needs of others."""

from typing import Protocol

from control_plane.ports import FileDescription
from schemas.events.registry import Artifact, ArtifactFormat


class InspectedFile(Protocol):
    """A file that is there and looks like its format."""

    @property
    def artifact(self) -> Artifact:
        """What a version refers to."""
        ...

    @property
    def description(self) -> FileDescription | None:
        """What the file says of its model; None where its format says nothing."""
        ...


class Artifacts(Protocol):
    """The files that versions are made of; `refusals` are the errors of `inspect`."""

    refusals: tuple[type[Exception], ...]

    def inspect(
        self, digest: str, *, workspace: str, artifact_format: ArtifactFormat, parent: Artifact | None = None
    ) -> InspectedFile:
        """Return a workspace's file that looks like its format from outside, and what it tells; blocks on the disk.

        Raises:
            Unknown: there is no such file.
            Refused: it is not a model of this format, or adapts another model than the parent.
        """
