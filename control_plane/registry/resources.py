"""How models and versions are kept in the catalogue and shown to callers."""

import msgspec
from msgspec import field

from control_plane.ports import Aggregate, CatalogueRow
from control_plane.registry.aggregate import ModelState, VersionState, evolve_model, evolve_version
from schemas.documents.models import Model, ModelBase
from schemas.documents.shared import shared
from schemas.documents.versions import Version
from schemas.identifiers import Kind


class ModelResource(ModelBase, frozen=True, kw_only=True):
    """A model as callers see it; an alias names the number of a version."""

    aliases: dict[str, int] = field(default_factory=dict)


def model_resource(model: Model) -> ModelResource:
    """Show a model as callers see it."""
    return ModelResource(
        **shared(model, ModelBase), aliases={alias: each.number for alias, each in model.aliases.items()}
    )


def model_document(state: ModelState) -> Model:
    """Leave out where the stream is."""
    return msgspec.convert(state, Model, from_attributes=True)


def version_document(state: VersionState) -> Version:
    """Leave out where the stream is."""
    return msgspec.convert(state, Version, from_attributes=True)


def _model_row(state: ModelState | None) -> CatalogueRow | None:
    if state is None:
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


def _version_row(state: VersionState | None) -> CatalogueRow | None:
    if state is None:
        return None
    return CatalogueRow(
        workspace=state.workspace,
        kind=Kind.VERSION,
        id=state.id,
        name=None,
        parent_id=state.model_id,
        number=state.number,
        created_at=state.created_at,
        stream_version=state.stream_version,
        body=msgspec.json.encode(version_document(state)),
    )


MODELS: Aggregate[ModelState | None] = Aggregate(
    kind=Kind.MODEL,
    body=Model,
    initial=None,
    evolve=evolve_model,
    row=_model_row,
    is_followed=lambda state: state is not None,
)
VERSIONS: Aggregate[VersionState | None] = Aggregate(
    kind=Kind.VERSION, body=Version, initial=None, evolve=evolve_version, row=_version_row
)
