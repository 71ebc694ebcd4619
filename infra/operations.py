"""How an operation of the HTTP API is declared: once, by the feature that it belongs to.

Routes, the OpenAPI document, the reference and the tests of roles and random input are made from the declarations. A
handler takes what its kind of operation says, then the values of the path in their order, then the body or the
parameters as one struct.
"""

import inspect
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Literal, Protocol, get_args

import msgspec

from schemas.events.access import Duty, Role

Method = Literal["GET", "HEAD", "POST", "PUT"]
Roles = frozenset[Role]
Handler = Callable[..., Any]

READERS: Roles = frozenset({"viewer", "operator", "admin", "service"})
OPERATORS: Roles = frozenset({"operator", "admin"})
OPERATORS_AND_SERVICES: Roles = OPERATORS | {"service"}
SERVICES: Roles = frozenset({"service", "admin"})
ADMINS: Roles = frozenset({"admin"})
AGENT, AUTOSCALER, BATCHES, DRIFT, GATEWAY, JUDGE = (frozenset({duty}) for duty in get_args(Duty))
"""The duties of our own programs, one each."""
PUBLIC: Roles = frozenset()
"""No one is asked for a token."""

JSON = "application/json"
_PLACEHOLDER = re.compile(r"\{(?P<name>[a-z_]+)(?P<number>:int)?\}")


class Caller(Protocol):
    """Who asks, as the request's token says."""

    @property
    def principal_id(self) -> str:
        """The principal whose token it is."""

    @property
    def role(self) -> Role:
        """The principal's role."""

    @property
    def workspace(self) -> str:
        """The tenant that the principal belongs to."""

    @property
    def duty(self) -> Duty | None:
        """What a program of ours does; None for everybody else."""


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that is encoded already; `version` is that of the stream it shows, for the ETag."""

    body: bytes
    media_type: str = JSON
    status: int | None = None
    version: int | None = None


class Placeholder(msgspec.Struct, frozen=True):
    """A part of a path that callers fill in."""

    name: str
    is_number: bool


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """What all kinds share.

    `path` has placeholders, `{endpoint}` or `{number:int}`. `asks` is the body of a POST or PUT and the parameters of
    the rest. `answers` is the type of the answer's JSON, or None where it is not JSON. `also` are other
    statuses of the same answer. `errors` are the features' own errors; what every operation may answer is not repeated.
    `item_errors` are those that one item of many may have in an answer to all of them.
    `name` is needed where one handler serves several operations. `sdk` is the method of the client libraries, as
    `endpoints.create`; operations that only Rollbook's own programs use have none. One that `is_for_installation` asks
    for a principal of the home workspace. From there, one that `is_for_closed` changes a closed workspace, too.
    `duties` are those of Rollbook's own programs that call it; a service with another duty may not. One that
    `is_for_watchers` tells whether the process is well, as often as somebody asks.
    """

    method: Method
    path: str
    handler: Handler
    roles: Roles
    summary: str
    asks: type[msgspec.Struct] | None = None
    answers: Any = None
    status: int = 200
    also: tuple[int, ...] = ()
    errors: tuple[type[Exception], ...] = ()
    item_errors: tuple[type[Exception], ...] = ()
    name: str = ""
    sdk: str = ""
    is_for_installation: bool = False
    is_for_closed: bool = False
    duties: frozenset[Duty] = frozenset()
    is_for_watchers: bool = False

    @property
    def id(self) -> str:
        """The operation's name, by default its handler's."""
        return self.name or name_of(self.handler)

    @property
    def placeholders(self) -> tuple[Placeholder, ...]:
        """The path's placeholders, in order."""
        return tuple(Placeholder(found["name"], bool(found["number"])) for found in _PLACEHOLDER.finditer(self.path))

    @property
    def plain_path(self) -> str:
        """The path as OpenAPI writes it."""
        return _PLACEHOLDER.sub(lambda found: f"{{{found['name']}}}", self.path)

    @property
    def has_body(self) -> bool:
        """Whether the request has a body."""
        return self.method in ("POST", "PUT")


class Command(Operation, frozen=True, kw_only=True):
    """Runs in the store's writer, in one transaction: `handler(unit, …)` returns the store's reply.

    A handler with a keyword `expected_version` gets that of If-Match. `around(caller, …)` is entered before and left
    afterwards, outside the transaction; what it yields, if anything, is the handler's last argument. `within(…)` names
    the workspace in which the command runs, where that is not the caller's.
    """

    around: Callable[..., AbstractAsyncContextManager[Any]] | None = None
    within: Callable[..., str] | None = None

    @property
    def takes_version(self) -> bool:
        """Whether the command heeds If-Match."""
        return "expected_version" in inspect.signature(self.handler).parameters


class CommandList(Command, frozen=True, kw_only=True):
    """Many commands in one request: each of the body's `items` is run by itself, in a transaction of its own.

    `handler(unit, item)` returns the reply to one, and `answers` is the `Results` of them. What one is refused for
    stands in its result, and fails no other. With an idempotency key, each item is carried out once.
    """


class Question(Operation, frozen=True, kw_only=True):
    """Changes nothing: `handler(caller, …)` returns `answers` or `Content`. One that blocks gets a thread."""

    is_tagged: bool = False
    """Whether the answer carries an ETag, for a command's If-Match."""

    formats: tuple[str, ...] = ()
    """Other media types than JSON that the caller may choose."""


class Transfer(Operation, frozen=True, kw_only=True):
    """Moves a file: `handler(request, …)` reads and answers by itself, as the web framework has it."""

    upload: str | None = None
    download: str | None = None
    headers: tuple[str, ...] = ()
    """What the answer says of the file."""


class Operations(msgspec.Struct, frozen=True):
    """The operations of a feature; `tag` is the heading under which people find them."""

    tag: str
    operations: Sequence[Operation]


def name_of(handler: Handler) -> str:
    """Return a handler's name, also of one that was given some of its arguments."""
    while isinstance(handler, partial):
        handler = handler.func
    return handler.__name__
