"""How models and versions are kept in the catalogue and shown to callers."""

import msgspec
from msgspec import field

from control_plane.ports import Aggregate, CatalogueRow
from control_plane.registry.aggregate import ModelVersion, RegisteredModel, evolve_model, evolve_version
from control_plane.registry.commands import Side
from schemas.documents.models import Model, ModelBase
from schemas.events.registry import Artifact, GoldenExample, Signature
from schemas.identifiers import Kind


class ModelResource(ModelBase, frozen=True, kw_only=True):
    """A model as callers see it; an alias names the number of a version."""

    aliases: dict[str, int] = field(default_factory=dict)


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


def model_resource(document: Model) -> ModelResource:
    """Show a model as callers see it."""
    shared = {name: getattr(document, name) for name in ModelBase.__struct_fields__}
    return ModelResource(**shared, aliases={alias: each.number for alias, each in document.aliases.items()})


def model_document(state: RegisteredModel) -> Model:
    """Return the document of a model that exists."""
    return Model(
        id=state.id,
        name=state.name,
        description=state.description,
        tags=state.tags,
        latest_version=state.latest_version,
        aliases=dict(sorted(state.aliases.items())),
        created_at=state.created_at,
    )


def version_resource(state: ModelVersion) -> VersionResource:
    """Show a version that exists."""
    version = state.registered
    assert version is not None
    return VersionResource(
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


def _model_row(state: RegisteredModel) -> CatalogueRow | None:
    if not state.id:
        return None
    return CatalogueRow(
        workspace=state.workspace,
        kind=Kind.MODEL,
        id=state.id,
        name=state.name,
        created_at=state.created_at,
        stream_version=state.stream_version,
        body=msgspec.json.encode(model_document(state)),
    )


def _version_row(state: ModelVersion) -> CatalogueRow | None:
    version = state.registered
    if version is None:
        return None
    return CatalogueRow(
        workspace=state.workspace,
        kind=Kind.VERSION,
        id=state.id,
        name=None,
        parent_id=version.model_id,
        number=version.number,
        created_at=state.created_at,
        stream_version=state.stream_version,
        body=msgspec.json.encode(version_resource(state)),
    )


MODELS = Aggregate(
    kind=Kind.MODEL,
    body=Model,
    initial=RegisteredModel(),
    evolve=evolve_model,
    row=_model_row,
    is_followed=lambda state: bool(state.id),
)
VERSIONS = Aggregate(
    kind=Kind.VERSION, body=VersionResource, initial=ModelVersion(), evolve=evolve_version, row=_version_row
)
