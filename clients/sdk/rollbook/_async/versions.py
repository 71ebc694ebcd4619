"""Versions, with the files that they are made of."""

from functools import partial
from pathlib import Path
from typing import Any

from rollbook import _wire
from rollbook._async import operations
from rollbook._async.connection import AsyncConnection
from rollbook.resources import StoredArtifact, Version


class AsyncVersions(operations.AsyncVersions):
    """Versions of models."""

    def __init__(self, connection: AsyncConnection) -> None:
        """Talk through the client's connection."""
        super().__init__(connection)
        self._artifacts = operations.AsyncArtifacts(connection)

    async def upload(self, path: Path) -> StoredArtifact:
        """Put a file into the artifact store under its own digest; what is there already is not stored again.

        Of a directory every file is put there, and then their index, which is the artifact.
        """
        if _wire.is_directory(path):
            return await self._upload_directory(path)
        digest = await _wire.async_in_thread(partial(_wire.digest_of, path))
        return await self._artifacts.put(digest, path)

    async def register(  # noqa: PLR0913  the parts of a version are independent
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
        artifact = await self.upload(path)
        return await self.create(
            model,
            {"digest": artifact.digest, "format": chosen_format, **_wire.without_none({"parent": parent})},
            signature=signature,
            golden=golden,
            parameters=parameters,
            metrics=metrics,
            tags=tags,
        )

    async def _upload_directory(self, directory: Path) -> StoredArtifact:
        files = _wire.files_of(directory)
        digests = await _wire.async_in_thread(partial(_wire.digests_of, files))
        for name, file in files.items():
            await self._artifacts.put(digests[name], file)
        index = _wire.index_of(files, digests)
        return await self._artifacts.put(_wire.digest_of_bytes(index), index)

    async def get(self, version: str) -> Version:
        """Return a version, named `model/number`."""
        return await self.show(*_wire.split_reference(version))
