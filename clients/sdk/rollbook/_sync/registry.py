# Generated from ../_async/registry.py by generate_sync.py; edit that one.
"""Models, and their immutable versions."""

from pathlib import Path
from typing import Any

from rollbook import _wire
from rollbook._sync.connection import Connection
from rollbook.resources import Artifact, Model, Version


class Models:
    """Registered models."""

    def __init__(self, connection: Connection) -> None:
        """Talk through the client's connection."""
        self._connection = connection

    def register(self, name: str, *, description: str = "", tags: dict[str, str] | None = None) -> Model:
        """Give a model its name; a taken name is a `Conflict`."""
        body = {"name": name, "description": description, "tags": tags}
        return self._connection.command("/v1/models", body, Model)

    def get(self, model: str) -> Model:
        """Return a model by name or id."""
        return self._connection.get(f"/v1/models/{_wire.segment(model)}", Model)

    def list(self, query: str | None = None, *, limit: int | None = None) -> list[Model]:
        """Return models whose name contains `query`, or all, in the order they were made; at most `limit` of them."""
        return self._connection.list_all("/v1/models", _wire.Page[Model], limit=limit, query=query)

    def set_alias(self, model: str, alias: str, version: int, *, reason: str | None = None) -> Model:
        """Let an alias name a version by its number; callers of `endpoint:alias` follow at once."""
        path = f"/v1/models/{_wire.segment(model)}/aliases/{_wire.segment(alias)}"
        return self._connection.command(path, {"version": version, "reason": reason}, Model, method="PUT")

    def remove_alias(self, model: str, alias: str, *, reason: str) -> Model:
        """Take an alias away; one that is not there is no error."""
        path = f"/v1/models/{_wire.segment(model)}/aliases/{_wire.segment(alias)}/remove"
        return self._connection.command(path, {"reason": reason}, Model)


class Versions:
    """Versions of models."""

    def __init__(self, connection: Connection) -> None:
        """Talk through the client's connection."""
        self._connection = connection

    def upload(self, path: Path) -> Artifact:
        """Put a file into the artifact store under its own digest; what is there already is not stored again.

        Of a directory every file is put there, and then their index, which is the artifact.
        """
        if _wire.is_directory(path):
            return self._upload_directory(path)
        digest = _wire.digest_of(path)
        return self._connection.upload(f"/v1/artifacts/{digest}", path, Artifact)

    def register(  # noqa: PLR0913  the parts of a version are independent
        self,
        model: str,
        path: Path,
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
        chosen_format = artifact_format or _wire.format_of(path)
        artifact = self.upload(path)
        chosen = {"digest": artifact.digest, "format": chosen_format, "parent": parent}
        body = {
            "artifact": _wire.without_none(chosen),
            "signature": signature,
            "golden": golden,
            "parameters": parameters,
            "metrics": metrics,
            "tags": tags,
        }
        return self._connection.command(f"/v1/models/{_wire.segment(model)}/versions", body, Version)

    def _upload_directory(self, directory: Path) -> Artifact:
        files = _wire.files_of(directory)
        for file in files.values():
            self.upload(file)
        index = _wire.index_of(files)
        return self._connection.upload_bytes(f"/v1/artifacts/{_wire.digest_of_bytes(index)}", index, Artifact)

    def get(self, version: str) -> Version:
        """Return a version, named `model/number`."""
        model, number = _wire.split_reference(version)
        return self._connection.get(f"/v1/models/{_wire.segment(model)}/versions/{number}", Version)

    def list(self, model: str, *, limit: int | None = None) -> list[Version]:
        """Return a model's versions, oldest first; at most `limit` of them."""
        path = f"/v1/models/{_wire.segment(model)}/versions"
        return self._connection.list_all(path, _wire.Page[Version], limit=limit)
