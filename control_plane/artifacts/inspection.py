"""Says whether a stored file is what its format promises, before anything runs it."""

from collections.abc import Callable, Mapping
from typing import BinaryIO

from control_plane.artifacts.artifact_store import ArtifactStore
from control_plane.artifacts.errors import ArtifactNotFoundError, MalformedDigestError
from control_plane.artifacts.onnx_format import check_onnx
from control_plane.artifacts.skops_format import check_skops
from control_plane.artifacts.torch_format import check_torch
from schemas.events.registry import Artifact, ArtifactFormat

CHECKS: Mapping[ArtifactFormat, Callable[[BinaryIO], None]] = {
    "skops": check_skops,
    "onnx": check_onnx,
    "torch": check_torch,
}
_FIELD = "artifact.digest"


class ArtifactInspector:
    """Implements the registry's port `Artifacts` over the store. Blocks on the disk."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store

    def inspect(self, digest: str, *, artifact_format: ArtifactFormat) -> Artifact:
        """Return the artifact.

        Raises:
            MalformedDigestError: the text is no digest.
            ArtifactNotFoundError: the store does not hold it.
            NotAModelError: it is no model of this format.
        """
        try:
            found = self._store.find(digest)
        except MalformedDigestError:
            raise MalformedDigestError(digest, field=_FIELD) from None
        if found is None:
            raise ArtifactNotFoundError(digest, field=_FIELD)
        with self._store.open(digest) as file:
            CHECKS[artifact_format](file)
        return Artifact(digest=digest, size_bytes=found.size_bytes, format=artifact_format)
