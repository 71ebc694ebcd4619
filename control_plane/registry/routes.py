"""/v1/models and /v1/versions."""

import asyncio
from typing import Any, TypeVar

import msgspec
from litestar import MediaType, Request, Response, Router, get, post, put
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery

from control_plane.ports import CatalogueRow, EventStore
from control_plane.registry import handlers
from control_plane.registry.commands import ArtifactChoice, RegisterModel, RegisterVersion, RemoveAlias, SetAlias
from control_plane.registry.ports import Artifacts, InspectedFile
from control_plane.registry.queries import model_row, version_as_named, version_row, version_row_by_id
from control_plane.registry.resources import ModelResource, VersionResource
from control_plane.web.authentication import Authentication, actor_of
from control_plane.web.bodies import read_body
from control_plane.web.command_runner import Commands, expected_version
from control_plane.web.listing import USUAL_ITEMS, Page, Search, page_size
from schemas.identifiers import Kind

AnyRequest = Request[Any, Any, Any]
Resource = TypeVar("Resource", ModelResource, VersionResource)


def router(commands: Commands, authentication: Authentication, store: EventStore, artifacts: Artifacts) -> Router:
    """Build the routes of models and versions."""
    return Router(
        path="/v1",
        route_handlers=[
            *_commands(commands, authentication, store, artifacts),
            *_aliases(commands, authentication),
            *_models(store, authentication),
            *_versions(store, authentication),
        ],
        tags=["registry"],
    )


def _commands(
    commands: Commands, authentication: Authentication, store: EventStore, artifacts: Artifacts
) -> list[HTTPRouteHandler]:
    guards = [authentication.at_least("operator")]

    def inspect(choice: ArtifactChoice, workspace: str) -> InspectedFile:
        parent = None
        if choice.parent is not None:
            parent = version_as_named(store.catalogue(), choice.parent, workspace=workspace).artifact
        return artifacts.inspect(choice.digest, artifact_format=choice.format, parent=parent)

    @post(
        "/models",
        guards=guards,
        opt={"body": RegisterModel},
        summary="Give a model its name",
    )
    async def register_model(request: AnyRequest) -> Response[bytes]:
        command, version = await read_body(request, RegisterModel), expected_version(request)
        return await commands.run(
            request, lambda unit: handlers.register_model(unit, command, expected_version=version)
        )

    @post(
        "/models/{model:str}/versions",
        guards=guards,
        opt={"body": RegisterVersion},
        summary="Make the next version of a model of a file in the artifact store",
    )
    async def register_version(request: AnyRequest, model: FromPath[str]) -> Response[bytes]:
        command, version = await read_body(request, RegisterVersion), expected_version(request)
        file = await asyncio.to_thread(inspect, command.artifact, actor_of(request).workspace)
        return await commands.run(
            request,
            lambda unit: handlers.register_version(unit, model, command, file, expected_version=version),
        )

    return [register_model, register_version]


def _aliases(commands: Commands, authentication: Authentication) -> list[HTTPRouteHandler]:
    guards = [authentication.at_least("operator")]

    @put(
        "/models/{model:str}/aliases/{alias:str}",
        guards=guards,
        opt={"body": SetAlias, "answer": ModelResource},
        summary="Let an alias name a version; callers of endpoint:alias follow at once",
    )
    async def set_alias(request: AnyRequest, model: FromPath[str], alias: FromPath[str]) -> Response[bytes]:
        command, version = await read_body(request, SetAlias), expected_version(request)
        return await commands.run(
            request, lambda unit: handlers.set_alias(unit, model, alias, command, expected_version=version)
        )

    @post(
        "/models/{model:str}/aliases/{alias:str}/remove",
        guards=guards,
        opt={"body": RemoveAlias, "answer": ModelResource},
        summary="Take an alias away",
    )
    async def remove_alias(request: AnyRequest, model: FromPath[str], alias: FromPath[str]) -> Response[bytes]:
        command, version = await read_body(request, RemoveAlias), expected_version(request)
        return await commands.run(
            request, lambda unit: handlers.remove_alias(unit, model, alias, command, expected_version=version)
        )

    return [set_alias, remove_alias]


def _models(store: EventStore, authentication: Authentication) -> list[HTTPRouteHandler]:
    guards = [authentication.at_least("viewer", or_service=True)]

    @get("/models", guards=guards, summary="The models, in the order they were made", sync_to_thread=True)
    def find_models(
        request: AnyRequest,
        search: Search = "",
        cursor: FromQuery[str] = "",
        limit: FromQuery[int] = USUAL_ITEMS,
    ) -> Page[ModelResource]:
        most, workspace = page_size(limit), actor_of(request).workspace
        rows = store.catalogue().find(
            Kind.MODEL, workspace=workspace, name_contains=search, after_id=cursor, limit=most
        )
        return _page(rows, ModelResource, most=most)

    @get(
        "/models/{model:str}",
        guards=guards,
        summary="One model by its name or id",
        sync_to_thread=True,
    )
    def show_model(request: AnyRequest, model: FromPath[str]) -> Response[bytes]:
        return _shown(model_row(store.catalogue(), model, workspace=actor_of(request).workspace))

    return [find_models, show_model]


def _versions(store: EventStore, authentication: Authentication) -> list[HTTPRouteHandler]:
    guards = [authentication.at_least("viewer", or_service=True)]

    @get("/models/{model:str}/versions", guards=guards, summary="A model's versions, oldest first", sync_to_thread=True)
    def find_versions(
        request: AnyRequest, model: FromPath[str], cursor: FromQuery[str] = "", limit: FromQuery[int] = USUAL_ITEMS
    ) -> Page[VersionResource]:
        catalogue, most, workspace = store.catalogue(), page_size(limit), actor_of(request).workspace
        parent_id = model_row(catalogue, model, workspace=workspace).id
        rows = catalogue.find(Kind.VERSION, workspace=workspace, parent_id=parent_id, after_id=cursor, limit=most)
        return _page(rows, VersionResource, most=most)

    @get(
        "/models/{model:str}/versions/{number:int}",
        guards=guards,
        summary="One version by its model and number",
        sync_to_thread=True,
    )
    def show_version(request: AnyRequest, model: FromPath[str], number: FromPath[int]) -> Response[bytes]:
        return _shown(version_row(store.catalogue(), model, number, workspace=actor_of(request).workspace))

    @get(
        "/versions/{version_id:str}",
        guards=guards,
        summary="One version by its id",
        sync_to_thread=True,
    )
    def show_version_by_id(request: AnyRequest, version_id: FromPath[str]) -> Response[bytes]:
        return _shown(version_row_by_id(store.catalogue(), version_id, workspace=actor_of(request).workspace))

    return [find_versions, show_version, show_version_by_id]


def _page(rows: list[CatalogueRow], resource: type[Resource], *, most: int) -> Page[Resource]:
    items = [msgspec.json.decode(row.body, type=resource) for row in rows]
    return Page(items=items, next=rows[-1].id if len(rows) == most else None)


def _shown(row: CatalogueRow) -> Response[bytes]:
    return Response(row.body, media_type=MediaType.JSON, headers={"etag": f'"{row.stream_version}"'})
