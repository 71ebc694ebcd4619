# Generated from ../_async/registry.py by generate_sync.py; edit that one.
"""Models, and their immutable versions."""

from pathlib import Path
from typing import Any

import msgspec

from rollbook import _wire
from rollbook._sync.connection import Connection
from rollbook.resources import Artifact, Model, Version


class _Models(msgspec.Struct):
    items: list[Model]


class _Versions(msgspec.Struct):
    items: list[Version]


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

    def list(self, query: str | None = None) -> list[Model]:
        """Return models whose name contains `query`, or all."""
        return (self._connection.get("/v1/models", _Models, query=query)).items


class Versions:
    """Versions of models."""

    def __init__(self, connection: Connection) -> None:
        """Talk through the client's connection."""
        self._connection = connection

    def upload(self, path: Path) -> Artifact:
        """Put a file into the artifact store under its own digest; what is there already is not stored again."""
        digest = _wire.digest_of(path)
        return self._connection.upload(f"/v1/artifacts/{digest}", path, Artifact)

    def register(  # noqa: PLR0913  the parts of a version are independent
        self,
        model: str,
        path: Path,
        *,
        signature: dict[str, Any],
        artifact_format: str | None = None,
        golden: dict[str, Any] | None = None,
        parameters: dict[str, str] | None = None,
        metrics: dict[str, float] | None = None,
        tags: dict[str, str] | None = None,
    ) -> Version:
        """Upload a model file and register it as the model's next version.

        `signature` is `{"inputs": [{"name", "datatype", "shape"}], "outputs": […]}` in Open Inference Protocol terms;
        `golden` is `{"inputs": [tensors with data], "outputs": {name: values}}`, which each instance must answer
        before it takes traffic.
        """
        artifact = self.upload(path)
        body = {
            "artifact": {"digest": artifact.digest, "format": artifact_format or _wire.format_of(path)},
            "signature": signature,
            "golden": golden,
            "parameters": parameters,
            "metrics": metrics,
            "tags": tags,
        }
        return self._connection.command(f"/v1/models/{_wire.segment(model)}/versions", body, Version)

    def get(self, version: str) -> Version:
        """Return a version, named `model/number`."""
        model, number = _wire.split_reference(version)
        return self._connection.get(f"/v1/models/{_wire.segment(model)}/versions/{number}", Version)

    def list(self, model: str) -> list[Version]:
        """Return a model's versions."""
        return (self._connection.get(f"/v1/models/{_wire.segment(model)}/versions", _Versions)).items
