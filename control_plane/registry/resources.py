"""How models and versions are kept in the catalogue and shown to callers."""

import msgspec

from control_plane.ports import Aggregate, CatalogueRow
from control_plane.registry.aggregate import ModelVersion, RegisteredModel, evolve_model, evolve_version
from control_plane.registry.commands import Side
from schemas.events.registry import Artifact, GoldenExample, Signature
from schemas.identifiers import Kind


class ModelResource(msgspec.Struct, frozen=True, kw_only=True):
    """A model as callers see it."""

    id: str
    name: str
    description: str
    tags: dict[str, str]
    latest_version: int | None
    aliases: dict[str, int] = {}
    created_at: str


class VersionResource(msgspec.Struct, frozen=True, kw_only=True):
    """A version as callers see it, and as endpoints read it."""

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


def _model_row(state: RegisteredModel) -> CatalogueRow | None:
    if not state.id:
        return None
    resource = ModelResource(
        id=state.id,
        name=state.name,
        description=state.description,
        tags=state.tags,
        latest_version=state.latest_version,
        aliases={alias: each.number for alias, each in sorted(state.aliases.items())},
        created_at=state.created_at,
    )
    return CatalogueRow(
        workspace=state.workspace,
        kind=Kind.MODEL,
        id=state.id,
        name=state.name,
        created_at=state.created_at,
        stream_version=state.stream_version,
        body=msgspec.json.encode(resource),
    )


def _version_row(state: ModelVersion) -> CatalogueRow | None:
    version = state.registered
    if version is None:
        return None
    resource = VersionResource(
        id=state.id,
        model_id=version.model_id,
        model_name=version.model_name,
        number=version.number,
        artifact=version.artifact,
        signature=version.signature,
        inferred=version.inferred,
        golden=version.golden,
        parameters=version.parameters,
        metrics=version.metrics,
        tags=version.tags,
        created_at=state.created_at,
    )
    return CatalogueRow(
        workspace=state.workspace,
        kind=Kind.VERSION,
        id=state.id,
        name=None,
        parent_id=version.model_id,
        number=version.number,
        created_at=state.created_at,
        stream_version=state.stream_version,
        body=msgspec.json.encode(resource),
    )


MODELS = Aggregate(kind=Kind.MODEL, body=ModelResource, initial=RegisteredModel(), evolve=evolve_model, row=_model_row)
VERSIONS = Aggregate(
    kind=Kind.VERSION, body=VersionResource, initial=ModelVersion(), evolve=evolve_version, row=_version_row
)
