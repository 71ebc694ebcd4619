"""The operations on models, versions and aliases."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import msgspec

from control_plane.ports import CatalogueRow, EventStore
from control_plane.registry import errors, handlers
from control_plane.registry.commands import RegisterModel, RegisterVersion, RemoveAlias, SetAlias
from control_plane.registry.ports import Artifacts, InspectedFile
from control_plane.registry.queries import model_row, version_as_named, version_row, version_row_by_id
from control_plane.registry.resources import ModelResource, model_resource
from control_plane.web.listing import Page, Paging, Search, page
from infra.operations import OPERATORS, READERS, Caller, Command, Content, Operation, Operations, Question
from schemas.documents.models import Model
from schemas.documents.versions import Version
from schemas.identifiers import Kind

_CREATED = 201
_UNKNOWN_MODEL = (errors.ModelNotFoundError,)
_UNKNOWN_VERSION = (errors.VersionNotFoundError,)
_STALE = (errors.ModelNotFoundError, errors.StaleVersionError)


def operations(store: EventStore, artifacts: Artifacts) -> Operations:
    """Declare them."""
    return Operations("registry", [*_commands(store, artifacts), *_aliases(), *_models(store), *_versions(store)])


def find_models(store: EventStore, caller: Caller, asked: Search) -> Page[ModelResource]:
    """Return a page of models."""
    rows = store.catalogue().find(
        Kind.MODEL, workspace=caller.workspace, name_contains=asked.query, after_id=asked.cursor, limit=asked.size
    )
    return page([model_resource(msgspec.json.decode(row.body, type=Model)) for row in rows], asked)


def show_model(store: EventStore, caller: Caller, model: str) -> Content:
    """Return one model."""
    row = model_row(store.catalogue(), model, workspace=caller.workspace)
    shown = model_resource(msgspec.json.decode(row.body, type=Model))
    return Content(body=msgspec.json.encode(shown), version=row.stream_version)


def find_versions(store: EventStore, caller: Caller, model: str, asked: Paging) -> Page[Version]:
    """Return a page of a model's versions."""
    catalogue, workspace = store.catalogue(), caller.workspace
    parent_id = model_row(catalogue, model, workspace=workspace).id
    rows = catalogue.find(
        Kind.VERSION, workspace=workspace, parent_id=parent_id, after_id=asked.cursor, limit=asked.size
    )
    return page([msgspec.json.decode(row.body, type=Version) for row in rows], asked)


def show_version(store: EventStore, caller: Caller, model: str, number: int) -> Content:
    """Return one version of a model."""
    return _shown(version_row(store.catalogue(), model, number, workspace=caller.workspace))


def show_version_by_id(store: EventStore, caller: Caller, version_id: str) -> Content:
    """Return one version."""
    return _shown(version_row_by_id(store.catalogue(), version_id, workspace=caller.workspace))


def _shown(row: CatalogueRow) -> Content:
    return Content(body=row.body, version=row.stream_version)


def _commands(store: EventStore, artifacts: Artifacts) -> list[Operation]:
    def inspect(caller: Caller, command: RegisterVersion) -> InspectedFile:
        choice, parent = command.artifact, None
        if choice.parent is not None:
            parent = version_as_named(store.catalogue(), choice.parent, workspace=caller.workspace).artifact
        return artifacts.inspect(
            choice.digest, workspace=caller.workspace, artifact_format=choice.format, parent=parent
        )

    @asynccontextmanager
    async def inspected(caller: Caller, _model: str, command: RegisterVersion) -> AsyncIterator[InspectedFile]:
        yield await asyncio.to_thread(inspect, caller, command)

    return [
        Command(
            method="POST",
            path="/v1/models",
            handler=handlers.register_model,
            sdk="models.register",
            asks=RegisterModel,
            answers=ModelResource,
            status=_CREATED,
            roles=OPERATORS,
            summary="Register a model",
            errors=(errors.InvalidNameError, errors.StaleVersionError),
        ),
        Command(
            method="POST",
            path="/v1/models/{model}/versions",
            handler=handlers.register_version,
            sdk="versions.create",
            around=inspected,
            asks=RegisterVersion,
            answers=Version,
            status=_CREATED,
            roles=OPERATORS,
            summary="Register the next version of a model, from a file in the artifact store",
            errors=(
                *_STALE,
                errors.VersionNotFoundError,
                errors.InvalidParentError,
                errors.InvalidSignatureError,
                errors.InvalidGoldenExampleError,
                errors.SignatureDiffersError,
                errors.SignatureNotToldError,
                *artifacts.refusals,
            ),
        ),
    ]


def _aliases() -> list[Operation]:
    return [
        Command(
            method="PUT",
            path="/v1/models/{model}/aliases/{alias}",
            handler=handlers.set_alias,
            sdk="models.set_alias",
            asks=SetAlias,
            answers=ModelResource,
            roles=OPERATORS,
            summary="Point an alias at a version; callers of endpoint:alias follow at once",
            errors=(*_STALE, errors.VersionNotFoundError, errors.InvalidAliasError),
        ),
        Command(
            method="POST",
            path="/v1/models/{model}/aliases/{alias}/remove",
            handler=handlers.remove_alias,
            sdk="models.remove_alias",
            asks=RemoveAlias,
            answers=ModelResource,
            roles=OPERATORS,
            summary="Remove an alias",
            errors=(*_STALE, errors.InvalidAliasError),
        ),
    ]


def _models(store: EventStore) -> list[Operation]:
    return [
        Question(
            method="GET",
            path="/v1/models",
            handler=partial(find_models, store),
            sdk="models.list",
            asks=Search,
            answers=Page[ModelResource],
            roles=READERS,
            summary="List the models, oldest first",
        ),
        Question(
            method="GET",
            path="/v1/models/{model}",
            handler=partial(show_model, store),
            sdk="models.get",
            answers=ModelResource,
            is_tagged=True,
            roles=READERS,
            summary="Get a model by its name or id",
            errors=_UNKNOWN_MODEL,
        ),
    ]


def _versions(store: EventStore) -> list[Operation]:
    return [
        Question(
            method="GET",
            path="/v1/models/{model}/versions",
            handler=partial(find_versions, store),
            sdk="versions.list",
            asks=Paging,
            answers=Page[Version],
            roles=READERS,
            summary="List a model's versions, oldest first",
            errors=_UNKNOWN_MODEL,
        ),
        Question(
            method="GET",
            path="/v1/models/{model}/versions/{number:int}",
            handler=partial(show_version, store),
            sdk="versions.show",
            answers=Version,
            is_tagged=True,
            roles=READERS,
            summary="Get a version by its model and number",
            errors=(*_UNKNOWN_MODEL, *_UNKNOWN_VERSION),
        ),
        Question(
            method="GET",
            path="/v1/versions/{version_id}",
            handler=partial(show_version_by_id, store),
            sdk="versions.get_by_id",
            answers=Version,
            is_tagged=True,
            roles=READERS,
            summary="Get a version by its id",
            errors=_UNKNOWN_VERSION,
        ),
    ]
