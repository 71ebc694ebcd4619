"""The OpenAPI document, made of the declared operations alone."""

import inspect
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any, TypeAlias

import msgspec
from litestar import MediaType, Response, get
from litestar.handlers import HTTPRouteHandler

from control_plane import errors
from control_plane.event_store import errors as store_errors
from control_plane.keys.errors import KeysUnavailableError
from control_plane.web.authentication import (
    PUBLIC,
    Authentication,
    DutyDiffersError,
    NotOfHomeError,
    RoleTooWeakError,
    WorkspaceClosedError,
    WorkspaceUnknownError,
)
from control_plane.web.bodies import InvalidBodyError, MalformedJsonError
from control_plane.web.command_runner import BadHeaderError
from control_plane.web.problems import (
    LATER,
    MEDIA_TYPE,
    BodyTooLarge,
    NoSuchRoute,
    Problem,
    Unauthenticated,
    status_of_kind,
)
from control_plane.web.request_limits import TooManyRequestsError
from infra.operations import JSON, Command, CommandList, Operation, Operations, Question, Transfer
from schemas.identifiers import WORKSPACE_HEADER

Document: TypeAlias = dict[str, Any]

PATHS = ("/openapi", "/openapi/openapi.json")

_TOKEN = "bearer"  # noqa: S105  the name of a scheme
_REFERENCE = "#/components/schemas/{name}"
_GENERIC = re.compile(r"(?P<outer>Page|Results?)_(?P<inner>[A-Za-z]+)_")
_ROLE_IN_THE_CODE = re.compile(r"^Shown(?=[A-Z])|(?<=[a-z])(?:Resource|Request|Row)\Z")
_END = r"\Z"
_TEXT = {"type": "string"}
_ASKED_HEADERS = {
    "Idempotency-Key": "Makes the command safe to repeat for 24 hours; 1 to 200 characters.",
    "If-Match": "Lets the command pass only if its stream is still at this version, as an ETag.",
    "Range": "The part of the file that is wanted, `bytes=0-99`.",
    WORKSPACE_HEADER: "The workspace to act in; for admins and services of the home workspace.",
    "X-Correlation-Id": "Kept on the events of the command, and answered.",
}
_HEADERS = {
    "ETag": "The version of the stream, for If-Match of a command.",
    "Accept-Ranges": "A part of the file may be asked for by Range.",
    "Cache-Control": "The content under a digest never changes.",
    "Content-Range": "Which part of the file this is.",
    "Retry-After": "After so many seconds it may be tried again.",
    "WWW-Authenticate": "A bearer token is asked for.",
    "Idempotent-Replayed": "`true` where the answer was given before.",
    "Rollbook-Position": "The place in the log up to which the effects of the command reach.",
    "X-Correlation-Id": "The caller's, or one made for this request.",
}
_OF_COMMANDS = (
    BadHeaderError,
    store_errors.IdempotencyKeyReusedError,
    store_errors.AnswerErasedError,
    store_errors.NameTakenError,
    store_errors.StaleVersionError,
    store_errors.EventTooLargeError,
    store_errors.StoreBusyError,
    store_errors.StoreUnavailableError,
    store_errors.NewerEventError,
    KeysUnavailableError,
)


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """`position` is the place in the log up to which the effects of the command reach."""

    position: int


def document_of(groups: Sequence[Operations], *, version: str) -> Document:
    """Describe the operations as OpenAPI 3.1."""
    schemas = _Schemas(groups)
    problems = _problems(groups, schemas.of(Problem))
    paths: dict[str, Document] = defaultdict(dict)
    for group in groups:
        for operation in group.operations:
            paths[operation.plain_path][operation.method.lower()] = _described(operation, group.tag, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Rollbook",
            "version": version,
            "description": "Commands and queries of the control plane. Errors are problem documents (RFC 9457).",
        },
        "paths": paths,
        "components": {
            "schemas": {**schemas.components, **problems},
            "parameters": {_component(name): _header_parameter(name, text) for name, text in _ASKED_HEADERS.items()},
            "responses": _named_refusals(groups),
            "headers": {_component(name): {"description": text, "schema": _TEXT} for name, text in _HEADERS.items()},
            "securitySchemes": {_TOKEN: {"type": "http", "scheme": "bearer"}},
        },
    }


def document_routes(document: Document, authentication: Authentication) -> list[HTTPRouteHandler]:
    """Serve the document, and nothing that would load scripts from elsewhere."""
    content = msgspec.json.encode(document)

    @get(list(PATHS), opt=PUBLIC, guards=[authentication.public_guard()], include_in_schema=False)
    async def show_document() -> Response[bytes]:
        return Response(content, media_type=MediaType.JSON)

    return [show_document]


class _Schemas:
    """The schemas of everything that is asked and answered, by names fit for generated code."""

    def __init__(self, groups: Sequence[Operations]) -> None:
        operations = [each for group in groups for each in group.operations]
        asked = [each.asks for each in operations if each.has_body and each.asks]
        answered = [each.answers for each in operations if each.answers]
        kinds = list({repr(kind): kind for kind in (Problem, Position, *asked, *answered)}.values())
        described = msgspec.json.schema_components(kinds, ref_template=_REFERENCE)
        found, components = msgspec.json.decode(msgspec.json.encode(described))
        self.components = {_plain(name): _tidy(schema) for name, schema in components.items()}
        assert len(self.components) == len(components), f"two structs would have one name: {sorted(components)}"
        self._by_kind = {repr(kind): _tidy(schema) for kind, schema in zip(kinds, found, strict=True)}
        for kind in asked:
            self._close(self.of(kind))

    def of(self, kind: Any) -> Document:  # noqa: ANN401  a type, or an alias of one
        """Return the schema of a type, by reference where it has a name."""
        schema: Document = self._by_kind[repr(kind)]
        return schema

    def _close(self, schema: Any) -> None:  # noqa: ANN401  any JSON
        """Say that a body has no members but these, and nothing in it has."""
        for part in _parts(schema):
            named = self.components.get(part.get("$ref", "").rpartition("/")[2])
            if named is not None and "properties" in named and "additionalProperties" not in named:
                named["additionalProperties"] = False
                self._close(named)


def _parts(schema: Any) -> Iterator[Document]:  # noqa: ANN401  any JSON
    if isinstance(schema, dict):
        yield schema
    for inner in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from _parts(inner)


def _plain(name: str) -> str:
    """Call `Page_ModelResource_` ModelPage, and ModelResource Model: callers need not know what a struct is to us."""
    found = _GENERIC.fullmatch(name)
    inner = _ROLE_IN_THE_CODE.sub("", found["inner"] if found else name)
    return f"{inner}{found['outer']}" if found else inner


def _referred(reference: str) -> str:
    place, slash, name = reference.rpartition("/")
    return f"{place}{slash}{_plain(name)}"


def _tidy(schema: Any) -> Any:  # noqa: ANN401  any JSON
    """Take the indents out of descriptions, which are docstrings, refer to plain names, and translate patterns."""
    if isinstance(schema, list):
        return [_tidy(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    tidied = {name: _tidy(value) for name, value in schema.items()}
    if isinstance(tidied.get("description"), str):
        tidied["description"] = inspect.cleandoc(tidied["description"])
    if isinstance(tidied.get("pattern"), str):
        tidied["pattern"] = _as_in_json_schema(tidied["pattern"])
    if isinstance(tidied.get("$ref"), str):
        tidied["$ref"] = _referred(tidied["$ref"])
    if isinstance(tidied.get("mapping"), dict):
        tidied["mapping"] = {kind: _referred(reference) for kind, reference in tidied["mapping"].items()}
    return tidied


def _as_in_json_schema(pattern: str) -> str:
    r"""Write the end of a text as ECMA-262 does: it has no `\Z`, and its `$` does not match before a line's end."""
    return f"{pattern.removesuffix(_END)}$" if pattern.endswith(_END) else pattern


def _described(operation: Operation, tag: str, schemas: _Schemas) -> Document:
    described: Document = {
        "operationId": operation.id,
        "tags": [tag],
        "summary": operation.summary,
        "parameters": list(_parameters(operation)),
        "responses": {**_successes(operation, schemas), **_refusals(operation, schemas)},
        "x-rollbook-roles": sorted(operation.roles),
        **({"x-rollbook-duties": sorted(operation.duties)} if operation.duties else {}),
    }
    if operation.item_errors:
        described["x-rollbook-item-codes"] = sorted(_codes(operation.item_errors))
    if operation.sdk:
        described["x-rollbook-sdk"] = operation.sdk
    if operation.roles:
        described["security"] = [{_TOKEN: []}]
    if operation.has_body and operation.asks is not None:
        is_needed = any(field.required for field in msgspec.structs.fields(operation.asks))
        body = {"required": is_needed, "content": {JSON: {"schema": schemas.of(operation.asks)}}}
        described["requestBody"] = body
    if isinstance(operation, Transfer) and operation.upload:
        described["requestBody"] = {"required": True, "content": {operation.upload: {}}}
    return described


def _parameters(operation: Operation) -> Iterator[Document]:
    for each in operation.placeholders:
        yield {
            "name": each.name,
            "in": "path",
            "required": True,
            "schema": {"type": "integer"} if each.is_number else _TEXT,
        }
    if operation.asks is not None and not operation.has_body:
        _, components = msgspec.json.schema_components([operation.asks], ref_template=_REFERENCE)
        (schema,) = components.values()
        for name, shown in schema["properties"].items():
            yield {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": _tidy(shown)}
    yield from ({"$ref": f"#/components/parameters/{_component(name)}"} for name in _asked_headers(operation))


def _asked_headers(operation: Operation) -> Iterator[str]:
    if isinstance(operation, Command) and operation.method != "GET":
        yield "Idempotency-Key"
    if isinstance(operation, Command) and operation.takes_version:
        yield "If-Match"
    if isinstance(operation, Transfer) and operation.download:
        yield "Range"
    if operation.roles:
        yield from (WORKSPACE_HEADER, "X-Correlation-Id")


def _header_parameter(name: str, description: str) -> Document:
    return {"name": name, "in": "header", "required": False, "description": description, "schema": _TEXT}


def _component(header: str) -> str:
    return header.replace("-", "")


def _successes(operation: Operation, schemas: _Schemas) -> Document:
    shown: Document = {"description": "Done" if isinstance(operation, Command) else "The answer"}
    names = _answered_headers(operation)
    shown["headers"] = {name: {"$ref": f"#/components/headers/{_component(name)}"} for name in names}
    if operation.answers is not None:
        schema = schemas.of(operation.answers)
        if isinstance(operation, Command):
            schema = {"allOf": [schema, schemas.of(Position)]}
        shown["content"] = {JSON: {"schema": schema}}
    if isinstance(operation, Question):
        shown.setdefault("content", {}).update({kind: {"schema": _TEXT} for kind in operation.formats})
    if isinstance(operation, Transfer) and operation.download:
        shown["content"] = {operation.download: {"schema": {"type": "string", "format": "binary"}}}
    return {str(status): shown for status in (operation.status, *operation.also)}


def _answered_headers(operation: Operation) -> Iterator[str]:
    yield "X-Correlation-Id"
    if isinstance(operation, CommandList):
        yield "Rollbook-Position"
    elif isinstance(operation, Command):
        yield from ("ETag", "Rollbook-Position", "Idempotent-Replayed")
    if isinstance(operation, Question) and operation.is_tagged:
        yield "ETag"
    if isinstance(operation, Transfer):
        yield from operation.headers


def _refusals(operation: Operation, schemas: _Schemas) -> Document:
    by_status: dict[int, set[str]] = defaultdict(set)
    for kind in _errors_of(operation):
        by_status[status_of_kind(kind)].add(kind.code)
    refusals = {"default": _refusal("Any other problem", schemas.of(Problem))}
    for status, codes in sorted(by_status.items()):
        if len(codes) == 1:
            refusals[str(status)] = {"$ref": f"#/components/responses/{_problem_name(min(codes))}"}
            continue
        one_of = {"oneOf": [{"$ref": _REFERENCE.format(name=_problem_name(code))} for code in sorted(codes)]}
        refusals[str(status)] = _refusal(", ".join(sorted(codes)), one_of, status)
    return refusals


def _refusal(description: str, schema: Document, status: int | None = None) -> Document:
    refusal = {"description": description, "content": {MEDIA_TYPE: {"schema": schema}}}
    header = "WWW-Authenticate" if status == HTTPStatus.UNAUTHORIZED else "Retry-After" if status in LATER else None
    if header is not None:
        refusal["headers"] = {header: {"$ref": f"#/components/headers/{_component(header)}"}}
    return refusal


def _named_refusals(groups: Sequence[Operations]) -> Document:
    """Return the refusal of each code, for operations that have no other one of its status."""
    statuses = {kind.code: status_of_kind(kind) for kind in _all_errors(groups)}
    return {
        _problem_name(code): _refusal(code, {"$ref": _REFERENCE.format(name=_problem_name(code))}, status)
        for code, status in sorted(statuses.items())
    }


def _problems(groups: Sequence[Operations], problem: Document) -> Document:
    """Return a schema for each code that an operation answers."""
    meanings: dict[str, set[str]] = defaultdict(set)
    for kind in _all_errors(groups):
        meanings[kind.code].add(inspect.cleandoc(kind.__doc__ or "").partition("\n")[0])
    return {
        _problem_name(code): {
            "description": " ".join(sorted(texts)),
            "allOf": [problem, {"type": "object", "properties": {"code": {"const": code}}}],
        }
        for code, texts in sorted(meanings.items())
    }


def _problem_name(code: str) -> str:
    return f"{code.title().replace('-', '')}Problem"


def _all_errors(groups: Sequence[Operations]) -> Iterator[Any]:
    yield from (kind for group in groups for operation in group.operations for kind in _errors_of(operation))


def _codes(kinds: Sequence[Any]) -> Iterator[str]:
    yield from (kind.code for kind in kinds)


def _errors_of(operation: Operation) -> Iterator[Any]:
    yield from operation.errors
    if not operation.is_for_watchers:
        yield TooManyRequestsError
    if operation.roles:
        yield from (Unauthenticated, RoleTooWeakError, WorkspaceUnknownError, WorkspaceClosedError, errors.Invalid)
        if "service" in operation.roles:
            yield DutyDiffersError
    if operation.is_for_installation:
        yield NotOfHomeError
    if any(each.is_number for each in operation.placeholders):
        yield NoSuchRoute
    if operation.asks is not None:
        yield from (InvalidBodyError, MalformedJsonError, BodyTooLarge) if operation.has_body else (errors.Invalid,)
    if isinstance(operation, Command):
        yield from _OF_COMMANDS
