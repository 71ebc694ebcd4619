"""The document of a version of a model, which never changes."""

import msgspec

from schemas.events.registry import Artifact, GoldenExample, Side, Signature


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a model; `inferred` names the sides of its signature that were read from its file."""

    id: str
    model_id: str
    model_name: str
    number: int
    artifact: Artifact
    signature: Signature
    inferred: tuple[Side, ...] = ()
    golden: GoldenExample | None
    parameters: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]
    created_at: str
