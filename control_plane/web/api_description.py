"""The OpenAPI document under /openapi: what the framework knows of routes, and the bodies that we read ourselves.

A route that reads its own body names it in `opt={"body": Struct}`, one that takes a file its media type in
`opt={"upload": …}`, and one that answers bytes their form in `opt={"answer": Struct}`.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
from litestar import Litestar, MediaType, Request, Router
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.routes import HTTPRoute

from control_plane.web.authentication import PUBLIC
from control_plane.web.problems import MEDIA_TYPE, Problem

PATH = "/openapi"

_JSON = "application/json"
_TOKEN = "bearer"  # noqa: S105  the name of a scheme
_REFERENCE = "#/components/schemas/{name}"
_Document = dict[str, Any]


def openapi_config(version: str) -> OpenAPIConfig:
    """Serve the document, and nothing that would load scripts from elsewhere."""
    return OpenAPIConfig(
        title="Rollbook",
        version=version,
        description="Commands and queries of the control plane. Every error is a problem document (RFC 9457).",
        openapi_router=Router(PATH, route_handlers=[], opt=PUBLIC, include_in_schema=False),
        render_plugins=[_JsonDocument(path="/openapi.json", media_type=MediaType.JSON)],
        components=Components(security_schemes={_TOKEN: SecurityScheme(type="http", scheme="bearer")}),
    )


class _JsonDocument(OpenAPIRenderPlugin):
    """Answers with the completed document."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: _Document) -> bytes:
        # The framework's document is made once and given each time; completing it twice changes nothing.
        return msgspec.json.encode(_completed(openapi_schema, request.app))


def _completed(document: _Document, app: Litestar) -> _Document:
    routes = list(_routes(app))
    structs = [handler.opt[kind] for *_, handler in routes for kind in ("body", "answer") if kind in handler.opt]
    schemas, components = msgspec.json.schema_components([*structs, Problem], ref_template=_REFERENCE)
    references = dict(zip([*structs, Problem], schemas, strict=True))
    document.setdefault("components", {}).setdefault("schemas", {}).update(components)
    for path, method, handler in routes:
        operation = document["paths"][path][method]
        if body := handler.opt.get("body"):
            operation["requestBody"] = {"required": True, "content": {_JSON: {"schema": references[body]}}}
        if upload := handler.opt.get("upload"):
            operation["requestBody"] = {"required": True, "content": {upload: {}}}
        if answer := handler.opt.get("answer"):
            operation["responses"][str(handler.status_code)]["content"] = {_JSON: {"schema": references[answer]}}
        _complete_errors(operation, references[Problem], is_public=bool(handler.opt.get("is_public")))
    return document


def _complete_errors(operation: _Document, problem: _Document, *, is_public: bool) -> None:
    # Litestar states its own form of a 400, which our handlers of exceptions replace.
    operation["responses"].pop("400", None)
    operation["responses"]["default"] = {
        "description": "A problem document",
        "content": {MEDIA_TYPE: {"schema": problem}},
    }
    if not is_public:
        operation["security"] = [{_TOKEN: []}]


def _routes(app: Litestar) -> Iterator[tuple[str, str, HTTPRouteHandler]]:
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for handler in route.route_handlers:
                if handler.resolve_include_in_schema():
                    yield from ((route.path_format, method.lower(), handler) for method in handler.http_methods)
