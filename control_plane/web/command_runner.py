"""From a request to a command of the store, and from its reply to the HTTP answer."""

import asyncio
import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import structlog
from litestar import Request, Response

from control_plane.errors import Invalid, RollbookError
from control_plane.ports import CommandContext, EventStore, Executed, Reply, UnitOfWork
from control_plane.web.authentication import WorkspaceClosedError, actor_of
from schemas.identifiers import Kind
from schemas.results import ItemProblem, Result, Results, problem_of

Action = Callable[[UnitOfWork], Reply]

_ETAG = re.compile(r'(?:W/)?"(?P<version>\d{1,9})"')
_MAX_KEY_LENGTH = 200
_OK = 200
_log = structlog.get_logger(__name__)
_EMPTY_OBJECT = b"{}"


class BadHeaderError(Invalid):
    """A header of the request is malformed."""

    code = "invalid-header"


class Commands:
    """Runs commands for routes. One place knows idempotency keys, expected versions and positions."""

    def __init__(self, store: EventStore, new_command_id: Callable[[], str]) -> None:
        self._store = store
        self._new_command_id = new_command_id

    async def run(
        self, request: Request[Any, Any, Any], action: Action, *, within: str | None = None, is_for_closed: bool = False
    ) -> Response[bytes]:
        """Carry out a command and answer with ETag, Rollbook-Position and the position in the body.

        It runs in the caller's workspace, which has to be open by then, or in the one that `within` names.
        """
        context = await self._context(request)
        if within is not None:
            context = msgspec.structs.replace(context, actor=msgspec.structs.replace(context.actor, workspace=within))
        elif not is_for_closed:
            action = _in_open_workspace(action)
        return _answer(await self._store.execute(context, action))

    async def run_each(self, request: Request[Any, Any, Any], actions: Sequence[Action]) -> Response[bytes]:
        """Carry out commands, each by itself, and answer with a result for each and the position of them all."""
        context = await self._context(request)
        outcomes = await asyncio.gather(
            *(
                self._store.execute(self._of_item(context, number), _in_open_workspace(action))
                for number, action in enumerate(actions)
            ),
            return_exceptions=True,
        )
        results = Results(items=[_result(outcome) for outcome in outcomes])
        positions = [each.position for each in outcomes if isinstance(each, Executed)]
        position = max(positions) if positions else self._store.head()
        headers = {"rollbook-position": str(position)}
        body = _with_position(msgspec.json.encode(results), position)
        return Response(body, status_code=_OK, media_type="application/json", headers=headers)

    def _of_item(self, context: CommandContext, number: int) -> CommandContext:
        """Return the context of one command among many; an idempotency key covers each of them by its place."""
        key = context.idempotency_key
        return msgspec.structs.replace(
            context,
            command_id=self._new_command_id(),
            idempotency_key=None if key is None else f"{key}/{number}",
        )

    async def _context(self, request: Request[Any, Any, Any]) -> CommandContext:
        body = await request.body()
        command_id = self._new_command_id()
        fingerprint = hashlib.sha256(f"{request.method} {request.scope['path']}\n".encode() + body)
        return CommandContext(
            actor=actor_of(request),
            command_id=command_id,
            correlation_id=request.scope["state"]["correlation_id"],
            causation_id=request.headers.get("x-causation-id", command_id)[:_MAX_KEY_LENGTH],
            idempotency_key=_idempotency_key(request),
            body_sha256=fingerprint.hexdigest(),
            expected_version=expected_version(request),
        )


def _in_open_workspace(action: Action) -> Action:
    """Refuse a command whose workspace was closed since its request began; only the writer knows."""

    def checked(unit: UnitOfWork) -> Reply:
        name = unit.actor.workspace
        known = unit.catalogue.id_of(Kind.WORKSPACE, name, workspace=name)
        row = unit.catalogue.get(Kind.WORKSPACE, known, workspace=name) if known else None
        if row is not None and row.phase == "closed":
            raise WorkspaceClosedError(name)
        return action(unit)

    return checked


def reply(status: int, resource: msgspec.Struct, *, stream_version: int | None = None) -> Reply:
    """Return a reply whose body is a resource."""
    return Reply(status=status, body=msgspec.json.encode(resource), stream_version=stream_version)


def expected_version(request: Request[Any, Any, Any]) -> int | None:
    """Return the stream version of If-Match; None without the header.

    Raises:
        BadHeaderError: the header is not a version.
    """
    header = request.headers.get("if-match")
    if header is None:
        return None
    match = _ETAG.fullmatch(header.strip())
    if match is None:
        raise BadHeaderError(f"If-Match is {header!r}", field="If-Match", remedy='send the ETag unchanged, such as "7"')
    return int(match["version"])


def _idempotency_key(request: Request[Any, Any, Any]) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not 0 < len(key) <= _MAX_KEY_LENGTH:
        raise BadHeaderError(
            f"Idempotency-Key has {len(key)} characters",
            field="Idempotency-Key",
            remedy=f"send 1 to {_MAX_KEY_LENGTH} characters, for example a UUID",
        )
    return key


def _result(outcome: Executed | BaseException) -> Result[msgspec.Raw]:
    match outcome:
        case Executed(reply=reply_):
            return Result(answer=msgspec.Raw(reply_.body))
        case RollbookError():
            return Result(problem=problem_of(outcome))
        case Exception():
            _log.error("command_of_many_failed", exc_info=outcome)
            return Result(problem=ItemProblem(code="internal-error", detail="the server failed"))
        case _:
            raise outcome


def _answer(executed: Executed) -> Response[bytes]:
    reply_ = executed.reply
    headers = {"rollbook-position": str(executed.position)}
    if reply_.stream_version is not None:
        headers["etag"] = f'"{reply_.stream_version}"'
    if executed.is_repeat:
        headers["idempotent-replayed"] = "true"
    body = _with_position(reply_.body, executed.position)
    return Response(body, status_code=reply_.status, media_type="application/json", headers=headers)


def _with_position(body: bytes, position: int) -> bytes:
    # A resource is encoded once, by its handler; the position is known only after the commit.
    if body == _EMPTY_OBJECT:
        return b'{"position":%d}' % position
    return b'%s,"position":%d}' % (body[:-1], position) if body.endswith(b"}") else body
