"""The OpenAPI document under /openapi: what the framework knows of routes, and the bodies that we read ourselves."""

from functools import cache
from typing import Any

import msgspec
from litestar import Litestar, Request, Response, get
from litestar.openapi.config import OpenAPIConfig
from litestar.routes import HTTPRoute

from control_plane.web.authentication import PUBLIC
from control_plane.web.problems import MEDIA_TYPE, Problem

_REFERENCE = "#/components/schemas/{name}"


def openapi_config(version: str) -> OpenAPIConfig:
    """Return the framework's part; it serves no route of its own."""
    return OpenAPIConfig(title="Rollbook", version=version, openapi_router=None, render_plugins=[], path="/unused")


@get("/openapi", opt=PUBLIC, include_in_schema=False, sync_to_thread=True)
def describe_api(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Answer with the document as JSON."""
    return Response(_document(request.app), media_type="application/json")


@cache
def _document(app: Litestar) -> bytes:
    document: dict[str, Any] = app.openapi_schema.to_schema()
    bodies = {struct for *_, struct in _bodies(app)}
    _, components = msgspec.json.schema_components([*bodies, Problem], ref_template=_REFERENCE)
    document.setdefault("components", {}).setdefault("schemas", {}).update(components)
    for path, method, struct in _bodies(app):
        schema = {"$ref": _REFERENCE.format(name=struct.__name__)}
        operation = document["paths"][path][method]
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    for operations in document["paths"].values():
        for operation in operations.values():
            operation.setdefault("responses", {})["default"] = {
                "description": "A problem document",
                "content": {MEDIA_TYPE: {"schema": {"$ref": _REFERENCE.format(name=Problem.__name__)}}},
            }
    return msgspec.json.encode(document)


def _bodies(app: Litestar) -> list[tuple[str, str, Any]]:
    return [
        (route.path_format, method.lower(), handler.opt["body"])
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        for method in handler.http_methods
        if "body" in handler.opt
    ]
