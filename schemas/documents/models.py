"""The document of a registered model."""

import msgspec

from schemas.events.registry import VersionAliasSet


class ModelBase(msgspec.Struct, frozen=True, kw_only=True):
    """What the document of a model and the API's answer have in common."""

    id: str
    name: str
    description: str
    tags: dict[str, str]
    latest_version: int | None
    created_at: str


class Model(ModelBase, frozen=True, kw_only=True):
    """A name for versions; `aliases` are names of single ones that callers may use."""

    aliases: dict[str, VersionAliasSet] = {}
