"""Describes a verified artifact to the runtime; the serving agent writes it."""

from pathlib import Path

import msgspec

from infra.data_directory import write_atomically
from infra.errors import CannotStartError
from schemas.events.endpoints import VersionReference
from schemas.events.registry import Artifact, GoldenExample, Signature

FILE_NAME = "manifest.json"
ARTIFACT_NAME = "artifact"
FILES_NAME = "files"
"""Where the files of a model with several files are; the artifact is then their index."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """One deployment: its version, and the artifact in the same folder."""

    workspace: str
    endpoint_id: str
    endpoint: str
    deployment_id: str
    version: VersionReference
    artifact: Artifact
    signature: Signature
    golden: GoldenExample | None = None

    @property
    def version_name(self) -> str:
        """The version as people name it, `digits/2`."""
        return f"{self.version.model_name}/{self.version.number}"


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Replace the manifest of a model directory."""
    write_atomically(directory / FILE_NAME, msgspec.json.encode(manifest))


def read_manifest(directory: Path) -> Manifest:
    """Read the manifest of a model directory.

    Raises:
        CannotStartError: there is none, or it is not valid.
    """
    path = directory / FILE_NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise CannotStartError(
            f"{path} is not a manifest ({error}); name a directory made by a serving agent"
        ) from error
