# Generated from ../_async/versions.py by clients/sdk/generate.py; edit that one.
"""Versions, with the files that they are made of."""

from functools import partial
from pathlib import Path
from typing import Any

from rollbook import _wire
from rollbook._sync import operations
from rollbook._sync.connection import Connection
from rollbook.resources import StoredArtifact, Version


class Versions(operations.Versions):
    """Versions of models."""

    def __init__(self, connection: Connection) -> None:
        """Talk through the client's connection."""
        super().__init__(connection)
        self._artifacts = operations.Artifacts(connection)

    def upload(self, path: Path) -> StoredArtifact:
        """Put a file into the artifact store under its own digest; what is there already is not stored again.

        Of a directory every file is put there, and then their index, which is the artifact.
        """
        if _wire.is_directory(path):
            return self._upload_directory(path)
        digest = _wire.in_thread(partial(_wire.digest_of, path))
        return self._artifacts.put(digest, path)

    def register(  # noqa: PLR0913  the parts of a version are independent
        self,
        model: str,
        path: Path | str,
        *,
        signature: dict[str, Any] | None = None,
        artifact_format: str | None = None,
        parent: str | None = None,
        golden: dict[str, Any] | None = None,
        parameters: dict[str, str] | None = None,
        metrics: dict[str, float] | None = None,
        tags: dict[str, str] | None = None,
    ) -> Version:
        """Upload a model file, or a directory as `save_pretrained` makes it, and register the model's next version.

        `signature` is `{"inputs": [{"name", "datatype", "shape"}], "outputs": […]}` in Open Inference Protocol terms.
        What it leaves out is read from the file, where that tells it, and named in the answer's `inferred`.
        `golden` is `{"inputs": [tensors with data], "outputs": {name: values}}`, which each instance must answer
        before it takes traffic. An adapter, a directory as PEFT's `save_pretrained` makes it, needs a `parent`: the
        version that it adapts.
        """
        path = Path(path)
        chosen_format = artifact_format or _wire.format_of(path)
        artifact = self.upload(path)
        return self.create(
            model,
            {"digest": artifact.digest, "format": chosen_format, **_wire.without_none({"parent": parent})},
            signature=signature,
            golden=golden,
            parameters=parameters,
            metrics=metrics,
            tags=tags,
        )

    def _upload_directory(self, directory: Path) -> StoredArtifact:
        files = _wire.files_of(directory)
        digests = _wire.in_thread(partial(_wire.digests_of, files))
        for name, file in files.items():
            self._artifacts.put(digests[name], file)
        index = _wire.index_of(files, digests)
        return self._artifacts.put(_wire.digest_of_bytes(index), index)

    def get(self, version: str) -> Version:
        """Return a version, named `model/number`."""
        return self.show(*_wire.split_reference(version))
