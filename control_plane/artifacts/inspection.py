"""Says whether a stored file is what its format promises, before anything runs it."""

from collections.abc import Callable, Mapping
from typing import BinaryIO, TypeAlias

import msgspec

from control_plane.artifacts.adapter_fit import check_fit
from control_plane.artifacts.artifact_store import ArtifactStore
from control_plane.artifacts.boosted_file import BoostedFile, check_catboost, check_lightgbm, check_xgboost
from control_plane.artifacts.errors import (
    AdapterDoesNotFitError,
    ArtifactNotFoundError,
    ArtifactStoreUnavailableError,
    MalformedDigestError,
    NotAModelError,
    UnservableModelError,
)
from control_plane.artifacts.external_format import check_external
from control_plane.artifacts.onnx_format import check_onnx
from control_plane.artifacts.onnx_graph import Graph
from control_plane.artifacts.skops_format import check_skops
from control_plane.artifacts.skops_model import SkopsModel
from control_plane.artifacts.torch_format import check_torch
from control_plane.artifacts.torch_program import TorchProgram
from control_plane.artifacts.transformers_format import check_lora, check_transformers
from schemas.events.registry import Artifact, ArtifactFormat

Told: TypeAlias = BoostedFile | Graph | SkopsModel | TorchProgram
CHECKS: Mapping[ArtifactFormat, Callable[[BinaryIO, ArtifactStore], Told | None]] = {
    "skops": lambda file, _: check_skops(file),
    "onnx": lambda file, _: check_onnx(file),
    "torch": lambda file, _: check_torch(file),
    "xgboost": lambda file, _: check_xgboost(file),
    "lightgbm": lambda file, _: check_lightgbm(file),
    "catboost": lambda file, _: check_catboost(file),
    "transformers": check_transformers,
    "lora": check_lora,
    "external": lambda file, _: check_external(file),
}
_FIELD = "artifact.digest"
# No format begins like this: the mark of a pickle, and the protocols that Python writes.
_PICKLES = tuple(bytes((0x80, protocol)) for protocol in range(2, 6))


class InspectedArtifact(msgspec.Struct, frozen=True, kw_only=True):
    """An artifact, and what its file says of the model."""

    artifact: Artifact
    description: Told | None = None


class ArtifactInspector:
    """Implements the registry's port `Artifacts` over the stores. Blocks on the disk."""

    refusals: tuple[type[Exception], ...] = (
        MalformedDigestError,
        ArtifactNotFoundError,
        NotAModelError,
        UnservableModelError,
        AdapterDoesNotFitError,
        ArtifactStoreUnavailableError,
    )

    def __init__(self, store_of: Callable[[str], ArtifactStore]) -> None:
        """Take what returns the store of a workspace."""
        self._store_of = store_of

    def inspect(
        self, digest: str, *, workspace: str, artifact_format: ArtifactFormat, parent: Artifact | None = None
    ) -> InspectedArtifact:
        """Return a workspace's artifact, and what its file says of the model.

        `parent` is what an adapter is to adapt.

        Raises:
            MalformedDigestError: the text is not a digest.
            ArtifactNotFoundError: the store does not hold it.
            NotAModelError: it is not a model of this format.
            UnservableModelError: no engine runs it.
            AdapterDoesNotFitError: it adapts another model than the parent.
        """
        store = self._store_of(workspace)
        try:
            found = store.find(digest)
        except MalformedDigestError:
            raise MalformedDigestError(digest, field=_FIELD) from None
        if found is None:
            raise ArtifactNotFoundError(digest, field=_FIELD)
        with store.open(digest) as file:
            _refuse_pickle(file, artifact_format=artifact_format)
            description = CHECKS[artifact_format](file, store)
        if artifact_format == "lora" and parent is not None and parent.format == "transformers":
            with store.open(digest) as adapter, store.open(parent.digest) as adapted:
                check_fit(adapter, adapted, store)
        artifact = Artifact(digest=digest, size_bytes=found.size_bytes, format=artifact_format)
        return InspectedArtifact(artifact=artifact, description=description)


def _refuse_pickle(file: BinaryIO, *, artifact_format: ArtifactFormat) -> None:
    is_pickle = file.read(2) in _PICKLES
    file.seek(0)
    if is_pickle:
        raise NotAModelError(artifact_format=artifact_format, reason="it is a pickle, which is never loaded")
