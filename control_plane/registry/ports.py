"""What the registry needs of others."""

from typing import Protocol

from schemas.events.registry import Artifact, ArtifactFormat


class Artifacts(Protocol):
    """The files that versions are made of."""

    def inspect(self, digest: str, *, artifact_format: ArtifactFormat) -> Artifact:
        """Return a file that is there and looks like its format from outside; blocks on the disk.

        Raises:
            Unknown: there is no such file.
            Refused: it is no model of this format.
        """
