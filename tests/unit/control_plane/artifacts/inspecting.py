"""Inspecting a file of a store."""

from control_plane.artifacts.artifact_store import ArtifactStore
from control_plane.artifacts.inspection import ArtifactInspector, InspectedArtifact
from schemas.events.registry import Artifact, ArtifactFormat
from tests.support.spec import WORKSPACE


def inspected(
    store: ArtifactStore, digest: str, *, artifact_format: ArtifactFormat, parent: Artifact | None = None
) -> InspectedArtifact:
    """Return what an inspection of a workspace's file finds."""
    inspector = ArtifactInspector(lambda _: store)
    return inspector.inspect(digest, workspace=WORKSPACE, artifact_format=artifact_format, parent=parent)
