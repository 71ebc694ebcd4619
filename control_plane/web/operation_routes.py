"""From declared operations to routes: who may, what is asked, and how the answer looks, in one place."""

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from typing import Any, TypeAlias

import msgspec
from litestar import Request, Response
from litestar.handlers import HTTPRouteHandler

from control_plane.errors import Invalid
from control_plane.ports import Actor, Reply
from control_plane.web.authentication import PUBLIC, Authentication, actor_of, known_actor_of
from control_plane.web.bodies import decode_body, explained
from control_plane.web.command_runner import Commands, expected_version
from infra.operations import Command, CommandList, Content, Operation, Operations, Question, Transfer

AnyRequest: TypeAlias = Request[Any, Any, Any]
Arguments = Callable[[AnyRequest], Awaitable[list[Any]]]
Serve = Callable[[AnyRequest], Awaitable[Any]]

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
    options: dict[str, Any] = {"opt": PUBLIC, "guards": [authentication.public_guard(operation)]}
    if operation.roles:
        options = {"guards": [authentication.guard(operation)]}
    if isinstance(operation, Transfer) and operation.upload:
        options["request_max_body_size"] = None
    handler = HTTPRouteHandler(
        path, http_method=operation.method, status_code=operation.status, include_in_schema=False, **options
    )
    return handler(_served(operation, commands))


def _served(operation: Operation, commands: Commands) -> Callable[..., Any]:
    """Return the handler of a route. What follows from the declaration alone is worked out here, once."""
    serve = _server_of(operation, commands)

    async def served(request: AnyRequest) -> Response[Any]:
        response: Response[Any] = await serve(request)
        return response

    served.__name__ = operation.id
    return served


def _server_of(operation: Operation, commands: Commands) -> Serve:
    arguments = _arguments_of(operation)
    match operation:
        case CommandList():
            return partial(_carry_out_each, operation, commands, arguments)
        case Command():
            return partial(_carry_out, operation, commands, arguments, takes_version=operation.takes_version)
        case Question():
            blocks = not inspect.iscoroutinefunction(operation.handler)
            return partial(_answer, operation, arguments, blocks=blocks)
        case Transfer():
            return partial(_transfer, operation, arguments)
        case _:
            raise TypeError(operation)


async def _carry_out(
    command: Command, commands: Commands, arguments_of: Arguments, request: AnyRequest, *, takes_version: bool
) -> Response[Any]:
    arguments = await arguments_of(request)
    extras = {"expected_version": expected_version(request)} if takes_version else {}
    around: AbstractAsyncContextManager[Any] = nullcontext()
    if command.around is not None:
        around = command.around(actor_of(request), *arguments)
    async with around as held:
        given = arguments if held is None else [*arguments, held]

        def action(unit: Any) -> Reply:  # noqa: ANN401  the store's unit of work
            reply: Reply = command.handler(unit, *given, **extras)
            return reply

        within = None if command.within is None else command.within(*arguments)
        return await commands.run(request, action, within=within, is_for_closed=command.is_for_closed)


async def _carry_out_each(
    listed: CommandList, commands: Commands, arguments_of: Arguments, request: AnyRequest
) -> Response[Any]:
    (body,) = await arguments_of(request)

    def action_of(item: Any) -> Callable[[Any], Reply]:  # noqa: ANN401  as the body has it
        return lambda unit: listed.handler(unit, item)

    return await commands.run_each(request, [action_of(item) for item in body.items])


async def _answer(question: Question, arguments_of: Arguments, request: AnyRequest, *, blocks: bool) -> Response[Any]:
    caller = actor_of(request) if question.roles else known_actor_of(request) or _NOBODY
    arguments = await arguments_of(request)
    if blocks:
        content = await asyncio.to_thread(lambda: _content(question.handler(caller, *arguments)))
    else:
        content = _content(await question.handler(caller, *arguments))
    headers = {} if content.version is None else {"etag": f'"{content.version}"'}
    return Response(
        content.body,
        status_code=content.status or question.status,
        media_type=content.media_type,
        headers=headers,
    )


def _content(found: object) -> Content:
    return found if isinstance(found, Content) else Content(body=msgspec.json.encode(found))


async def _transfer(transfer: Transfer, arguments_of: Arguments, request: AnyRequest) -> Any:  # noqa: ANN401
    return await transfer.handler(request, *await arguments_of(request))


def _arguments_of(operation: Operation) -> Arguments:
    """Return what reads the values of the path and what is asked, in the order in which a handler takes them."""
    names, asked = [each.name for each in operation.placeholders], _asked_of(operation)

    async def arguments(request: AnyRequest) -> list[Any]:
        values = [request.path_params[name] for name in names]
        return values if asked is None else [*values, await asked(request)]

    return arguments


def _asked_of(operation: Operation) -> Serve | None:
    """Return what reads the body or the parameters, where there are any."""
    struct = operation.asks
    if struct is None:
        return None
    fields = msgspec.structs.fields(struct)
    # An empty body means an empty object, where no member is required.
    empty = b"" if any(field.required for field in fields) else b"{}"
    known = {field.encode_name for field in fields}

    async def body(request: AnyRequest) -> msgspec.Struct:
        return decode_body(await request.body() or empty, struct)

    async def parameters(request: AnyRequest) -> msgspec.Struct:
        return _parameters(request, struct, known=known)

    return body if operation.has_body else parameters


def _parameters(request: AnyRequest, struct: type[msgspec.Struct], *, known: set[str]) -> msgspec.Struct:
    single = {}
    for name, values in request.query_params.dict().items():
        if name in known:
            if len(values) > 1:
                raise Invalid(f"{name} appears twice", field=name, remedy="send it once")
            single[name] = values[0]
    try:
        return msgspec.convert(single, struct, strict=False)
    except msgspec.ValidationError as error:
        raise explained(error, as_kind=Invalid) from error
