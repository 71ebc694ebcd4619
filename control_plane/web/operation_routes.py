"""From declared operations to routes: who may, what is asked, and how the answer looks, in one place."""

import asyncio
import inspect
import re
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from typing import Any, TypeAlias

import msgspec
from litestar import Request, Response
from litestar.handlers import HTTPRouteHandler

from control_plane.errors import Invalid
from control_plane.ports import Actor, Reply
from control_plane.web.authentication import PUBLIC, Authentication, actor_of
from control_plane.web.bodies import decode_body, explained
from control_plane.web.command_runner import Commands, expected_version
from infra.operations import JSON, Command, Content, Operation, Operations, Question, Transfer

AnyRequest: TypeAlias = Request[Any, Any, Any]
Serve = Callable[[AnyRequest], Coroutine[Any, Any, Any]]

_NOBODY = Actor(principal_id="", role="viewer", workspace="")
_UNTYPED = re.compile(r"\{([a-z_]+)\}")


def routes(groups: list[Operations], *, commands: Commands, authentication: Authentication) -> list[HTTPRouteHandler]:
    """Build the route of each operation."""
    return [
        _route(operation, commands=commands, authentication=authentication)
        for group in groups
        for operation in group.operations
    ]


def _route(operation: Operation, *, commands: Commands, authentication: Authentication) -> HTTPRouteHandler:
    path = _UNTYPED.sub(r"{\1:str}", operation.path)
    options: dict[str, Any] = {"opt": PUBLIC}
    if operation.roles:
        options = {"guards": [authentication.roles(operation.roles)]}
    if isinstance(operation, Transfer) and operation.upload:
        options["request_max_body_size"] = None
    handler = HTTPRouteHandler(
        path, http_method=operation.method, status_code=operation.status, include_in_schema=False, **options
    )
    return handler(_served(operation, commands))


def _served(operation: Operation, commands: Commands) -> Callable[..., Any]:
    match operation:
        case Command():
            serve = partial(_carry_out, operation, commands)
        case Question():
            serve = partial(_answer, operation)
        case Transfer():
            serve = partial(_transfer, operation)
        case _:
            raise TypeError(operation)

    async def served(request: AnyRequest) -> Response[Any]:
        return await serve(request)

    served.__name__ = operation.id
    return served


async def _carry_out(command: Command, commands: Commands, request: AnyRequest) -> Response[Any]:
    arguments = await _arguments(command, request)
    extras: dict[str, Any] = {}
    if command.takes_version:
        extras["expected_version"] = expected_version(request)
    around: AbstractAsyncContextManager[Any] = nullcontext()
    if command.around is not None:
        around = command.around(actor_of(request), *arguments)
    async with around as held:
        given = arguments if held is None else [*arguments, held]

        def action(unit: Any) -> Reply:  # noqa: ANN401  the store's unit of work
            reply: Reply = command.handler(unit, *given, **extras)
            return reply

        return await commands.run(request, action)


async def _answer(question: Question, request: AnyRequest) -> Response[Any]:
    caller = actor_of(request) if question.roles else _NOBODY
    arguments = await _arguments(question, request)
    if inspect.iscoroutinefunction(question.handler):
        found = await question.handler(caller, *arguments)
    else:
        found = await asyncio.to_thread(question.handler, caller, *arguments)
    content = found if isinstance(found, Content) else Content(body=msgspec.json.encode(found))
    headers = {} if content.version is None else {"etag": f'"{content.version}"'}
    return Response(
        content.body,
        status_code=content.status or question.status,
        media_type=content.media_type or JSON,
        headers=headers,
    )


async def _transfer(transfer: Transfer, request: AnyRequest) -> Any:  # noqa: ANN401  a response, or a stream
    return await transfer.handler(request, *_path_values(transfer, request))


async def _arguments(operation: Operation, request: AnyRequest) -> list[Any]:
    """Return the values of the path and what is asked, in the order in which a handler takes them."""
    values = _path_values(operation, request)
    if operation.asks is None:
        return values
    if operation.has_body:
        return [*values, decode_body(await request.body() or _empty(operation.asks), operation.asks)]
    return [*values, _parameters(request, operation.asks)]


def _empty(struct: type[msgspec.Struct]) -> bytes:
    """Return what no body stands for: an object, where nothing has to be in it."""
    return b"" if any(field.required for field in msgspec.structs.fields(struct)) else b"{}"


def _path_values(operation: Operation, request: AnyRequest) -> list[Any]:
    return [request.path_params[each.name] for each in operation.placeholders]


def _parameters(request: AnyRequest, struct: type[msgspec.Struct]) -> msgspec.Struct:
    given = request.query_params.dict()
    known = {field.encode_name for field in msgspec.structs.fields(struct)}
    single = {}
    for name, values in given.items():
        if name in known:
            if len(values) > 1:
                raise Invalid(f"{name} is there twice", field=name, remedy="send it once")
            single[name] = values[0]
    try:
        return msgspec.convert(single, struct, strict=False)
    except msgspec.ValidationError as error:
        raise explained(error, as_kind=Invalid) from error
