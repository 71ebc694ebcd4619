"""/v1/files and /v1/batches of the gateway, as OpenAI's clients call them."""

import asyncio
import codecs
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import TypeVar

import msgspec
import structlog
from aiohttp import web

from infra.repeated_members import repeated_member
from workers.batch_server import wire
from workers.batch_server.batches import Batches, CreateBatchBody
from workers.batch_server.callers import caller_of
from workers.batch_server.errors import ApiError, not_found, storage_full
from workers.batch_server.file_store import FileStore
from workers.batch_server.uploads import FULL, Uploads

_MAX_BODY_BYTES = 256 * 1024
_DEFAULT_FILES, _MAX_FILES = 10_000, 10_000
_DEFAULT_BATCHES, _MAX_BATCHES = 20, 100
Item = TypeVar("Item", wire.FileObject, wire.BatchObject)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = structlog.get_logger(__name__)


def application(files: FileStore, uploads: Uploads, batches: Batches) -> web.Application:
    """Build the routes."""
    app = web.Application(middlewares=[_errors_as_openai], client_max_size=_MAX_BODY_BYTES)
    app.add_routes([*_file_routes(files, uploads), *_batch_routes(batches)])
    return app


def _file_routes(files: FileStore, uploads: Uploads) -> list[web.RouteDef]:
    async def create(request: web.Request) -> web.Response:
        return _answer((await uploads.take(request)).shown)

    async def find(request: web.Request) -> web.Response:
        purpose = request.query.get("purpose")
        owned = [one.shown for one in files.all_of(caller_of(request)) if purpose in (None, one.purpose)]
        newest_first = request.query.get("order", "desc") != "asc"
        found = owned[::-1] if newest_first else owned
        return _answer(_paged(request, found, what="file", default=_DEFAULT_FILES, maximum=_MAX_FILES))

    async def show(request: web.Request) -> web.Response:
        return _answer(files.of(caller_of(request), request.match_info["file_id"]).shown)

    async def content(request: web.Request) -> web.StreamResponse:
        found = files.of(caller_of(request), request.match_info["file_id"])
        return web.FileResponse(files.content(found), headers={"content-type": "application/jsonl"})

    async def delete(request: web.Request) -> web.Response:
        found = files.of(caller_of(request), request.match_info["file_id"])
        await asyncio.to_thread(files.delete, found.id)
        return _answer(wire.Deleted(id=found.id))

    return [
        web.post("/v1/files", create),
        web.get("/v1/files", find),
        web.get("/v1/files/{file_id}", show),
        web.get("/v1/files/{file_id}/content", content),
        web.delete("/v1/files/{file_id}", delete),
    ]


def _batch_routes(batches: Batches) -> list[web.RouteDef]:
    async def create(request: web.Request) -> web.Response:
        caller = caller_of(request)
        return _answer(await batches.create(caller, creation_of(await request.read())))

    async def find(request: web.Request) -> web.Response:
        found = batches.all_of(caller_of(request))
        return _answer(_paged(request, found, what="batch", default=_DEFAULT_BATCHES, maximum=_MAX_BATCHES))

    async def show(request: web.Request) -> web.Response:
        return _answer(batches.of(caller_of(request), request.match_info["batch_id"]))

    async def cancel(request: web.Request) -> web.Response:
        return _answer(await batches.cancel(caller_of(request), request.match_info["batch_id"]))

    return [
        web.post("/v1/batches", create),
        web.get("/v1/batches", find),
        web.get("/v1/batches/{batch_id}", show),
        web.post("/v1/batches/{batch_id}/cancel", cancel),
    ]


def creation_of(body: bytes) -> CreateBatchBody:
    """Return the batch that a body requests.

    Raises:
        ApiError: the body is not valid, or has a duplicate member.
    """
    content = body.removeprefix(codecs.BOM_UTF8)
    try:
        creation = msgspec.json.decode(content, type=CreateBatchBody)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        text = str(error)
        what, _, path = text.partition(" - at `$.")
        raise ApiError(
            HTTPStatus.BAD_REQUEST,
            f"the body is not a batch: {what}; send what OpenAI's client sends",
            code="invalid_request",
            param=path.rstrip("`") or None,
        ) from error
    repeated = repeated_member(content)
    if repeated is not None:
        message = f"the body is not a batch: {repeated} appears twice; send it once"
        raise ApiError(HTTPStatus.BAD_REQUEST, message, code="invalid_request", param=repeated)
    return creation


def _paged(request: web.Request, found: Sequence[Item], *, what: str, default: int, maximum: int) -> wire.Page:
    limit, after = request.query.get("limit", str(default)), request.query.get("after")
    if not (limit.isdecimal() and len(limit) <= len(str(maximum)) and 1 <= int(limit) <= maximum):
        raise ApiError(
            HTTPStatus.BAD_REQUEST,
            f"the limit is {limit[:20]!r}; send 1 to {maximum}",
            code="invalid_limit",
            param="limit",
        )
    if after is not None:
        ids = [one.id for one in found]
        if after not in ids:
            raise not_found(what, after, param="after")
        found = found[ids.index(after) + 1 :]
    return wire.page(found[: int(limit)], has_more=len(found) > int(limit))


def _answer(document: msgspec.Struct, *, status: int = HTTPStatus.OK) -> web.Response:
    return web.Response(body=msgspec.json.encode(document), status=status, content_type="application/json")


@web.middleware
async def _errors_as_openai(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ApiError as error:
        return _refusal(error)
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        return _refusal(_of_framework(error))
    except OSError as error:
        if error.errno in FULL:
            return _refusal(storage_full())
        return _fault(request, error)
    except Exception as error:  # noqa: BLE001  the outermost level: answered without its text, which is logged
        return _fault(request, error)


def _fault(request: web.Request, error: Exception) -> web.Response:
    _log.error("request_failed", path=request.path, method=request.method, exc_info=error)
    return _refusal(
        ApiError(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "the batch server failed; report it with the time",
            code="internal_error",
            kind="server_error",
        )
    )


def _of_framework(error: web.HTTPException) -> ApiError:
    status = HTTPStatus(error.status)
    code = {HTTPStatus.NOT_FOUND: "unknown_url", HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed"}
    return ApiError(status, f"{status.phrase}: {error.text}", code=code.get(status, "invalid_request"))


def _refusal(error: ApiError) -> web.Response:
    fault = wire.ErrorObject(message=error.message, type=error.kind, param=error.param, code=error.code)
    answer = _answer(wire.ErrorAnswer(error=fault), status=error.status)
    if error.status == HTTPStatus.SERVICE_UNAVAILABLE:
        answer.headers["retry-after"] = "1"
    return answer
