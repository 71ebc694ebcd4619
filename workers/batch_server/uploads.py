"""Receives a file chunk by chunk: nothing of it is kept unless all of it is valid."""

import asyncio
import errno
import shutil
import time
from collections import Counter
from http import HTTPStatus
from pathlib import Path

import msgspec
from aiohttp import BodyPartReader, MultipartReader, web

from infra.clock import Clock
from workers.batch_server.callers import Caller, caller_of
from workers.batch_server.errors import ApiError, storage_full
from workers.batch_server.file_store import FileStore, Incoming, StoredFile
from workers.batch_server.settings import BatchesSettings

_PIECE_BYTES = 256 * 1024
_MAX_FIELD_BYTES = 1_024
_MAX_NAME_LENGTH = 255
_MAX_UPLOADS = 16
_MAX_UPLOADS_PER_CALLER = 4
_MAX_FIELDS = 32
# An upload has to be faster than this after a while; otherwise a few slow ones would block everybody.
_MIN_BYTES_PER_S = 4_096
_PATIENCE_S = 60.0
_MAX_SECONDS_DIGITS = len("1000000000")
_SPARED_BYTES = 64 * 1024 * 1024
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
MIN_LIFE_S = 3_600
MAX_LIFE_S = 30 * 24 * 3_600


class _Form(msgspec.Struct, kw_only=True):
    """The values of the fields beside the file."""

    filename: str = ""
    fields: dict[str, str] = msgspec.field(default_factory=dict)


class Uploads:
    """Reads forms with a file in them."""

    def __init__(self, files: FileStore, settings: BatchesSettings, *, folder: Path, clock: Clock) -> None:
        self._files = files
        self._settings = settings
        self._folder = folder
        self._clock = clock
        self._under_way: Counter[tuple[str, str]] = Counter()

    async def take(self, request: web.Request) -> StoredFile:
        """Store the file of a form.

        Raises:
            ApiError: the form or the file is not valid, or there is no space for it; nothing was kept.
        """
        caller = caller_of(request)
        self._require_room(caller, request.content_length or 0)
        who = (caller.workspace, caller.subject)
        self._require_upload_slot(who)
        self._under_way[who] += 1
        try:
            return await self._taken(request, caller)
        except OSError as error:
            if error.errno in FULL:
                raise storage_full() from error
            raise
        finally:
            self._under_way[who] -= 1
            if not self._under_way[who]:
                del self._under_way[who]

    async def _taken(self, request: web.Request, caller: Caller) -> StoredFile:
        with self._files.incoming() as (file_id, incoming):
            form = await self._read(request, incoming, caller)
            stored = self._described(form, incoming, file_id=file_id, caller=caller)
            await asyncio.to_thread(incoming.finish, stored)
        self._files.kept(stored)
        return stored

    async def _read(self, request: web.Request, incoming: Incoming, caller: Caller) -> _Form:
        if request.content_type != "multipart/form-data":
            raise ApiError(HTTPStatus.BAD_REQUEST, "send a form with a file and a purpose", code="invalid_form")
        form = _Form()
        try:
            reader = await request.multipart()
            while (part := await reader.next()) is not None:
                if isinstance(part, MultipartReader):
                    raise ApiError(HTTPStatus.BAD_REQUEST, "nested forms are not supported", code="invalid_form")
                if part.name == "file" and not form.filename:
                    form.filename = _written(part.filename or "upload.jsonl")[:_MAX_NAME_LENGTH]
                    await self._copy(part, incoming, caller)
                elif len(form.fields) < _MAX_FIELDS:
                    form.fields[_written(part.name or "")] = await _field(part)
                else:
                    raise ApiError(HTTPStatus.BAD_REQUEST, "the form has too many fields", code="invalid_form")
        except TimeoutError as error:
            raise ApiError(
                HTTPStatus.REQUEST_TIMEOUT,
                f"the form arrives slower than {_MIN_BYTES_PER_S} bytes a second; send it again, or in parts",
                code="upload_too_slow",
            ) from error
        except (ValueError, web.RequestPayloadError) as error:
            raise ApiError(HTTPStatus.BAD_REQUEST, f"the form cannot be read: {error}", code="invalid_form") from error
        return form

    async def _copy(self, part: BodyPartReader, incoming: Incoming, caller: Caller) -> None:
        room = self._settings.max_stored_bytes - self._files.used_bytes(caller)
        began = time.monotonic()
        while piece := await _piece(part, _PIECE_BYTES):
            if time.monotonic() - began > _PATIENCE_S + incoming.size_bytes / _MIN_BYTES_PER_S:
                raise TimeoutError
            await asyncio.to_thread(incoming.write, bytes(piece))
            if incoming.size_bytes > self._settings.max_file_bytes:
                raise _too_large(self._settings.max_file_bytes)
            if incoming.size_bytes > room:
                raise _no_room(self._settings.max_stored_bytes)
            if incoming.newlines > self._settings.max_requests:
                raise ApiError(
                    HTTPStatus.BAD_REQUEST,
                    f"the file has more than {self._settings.max_requests} lines; send it in parts",
                    code="too_many_lines",
                    param="file",
                )

    def _described(self, form: _Form, incoming: Incoming, *, file_id: str, caller: Caller) -> StoredFile:
        purpose = form.fields.get("purpose")
        if purpose != "batch":
            raise ApiError(
                HTTPStatus.BAD_REQUEST,
                f"the purpose is {purpose!r}; only the purpose 'batch' is supported",
                code="invalid_purpose",
                param="purpose",
            )
        if incoming.size_bytes == 0:
            raise ApiError(HTTPStatus.BAD_REQUEST, "the file is missing or empty", code="empty_file", param="file")
        now_s = self._clock.now_ms() // 1_000
        return StoredFile(
            id=file_id,
            workspace=caller.workspace,
            owner=caller.subject,
            filename=form.filename,
            purpose="batch",
            size_bytes=incoming.size_bytes,
            sha256=incoming.sha256,
            created_at_s=now_s,
            expires_at_s=now_s + self._life_s(form.fields),
        )

    def _life_s(self, fields: dict[str, str]) -> int:
        anchor, seconds = fields.get("expires_after[anchor]"), fields.get("expires_after[seconds]")
        if anchor is None and seconds is None:
            return self._settings.retention_days * 24 * 3_600
        if anchor != "created_at" or seconds is None or not seconds.isdecimal() or len(seconds) > _MAX_SECONDS_DIGITS:
            raise _wrong_life()
        return checked_life_s(int(seconds))

    def _require_upload_slot(self, who: tuple[str, str]) -> None:
        if self._under_way.total() >= _MAX_UPLOADS or self._under_way[who] >= _MAX_UPLOADS_PER_CALLER:
            raise ApiError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"{_MAX_UPLOADS} files are being uploaded, or {_MAX_UPLOADS_PER_CALLER} of yours; try again",
                code="too_many_uploads",
                kind="server_error",
            )

    def _require_room(self, caller: Caller, length: int) -> None:
        # The form around a file is small.
        if length > self._settings.max_file_bytes + _PIECE_BYTES:
            raise _too_large(self._settings.max_file_bytes)
        if length > self._settings.max_stored_bytes - self._files.used_bytes(caller):
            raise _no_room(self._settings.max_stored_bytes)
        if shutil.disk_usage(self._folder).free - length < _SPARED_BYTES:
            raise storage_full()


def checked_life_s(seconds: int) -> int:
    """Return for how long a file is kept, as its owner requested.

    Raises:
        ApiError: OpenAI does not allow such a short or long time.
    """
    if not MIN_LIFE_S <= seconds <= MAX_LIFE_S:
        raise _wrong_life()
    return seconds


async def _piece(part: BodyPartReader, limit: int) -> bytes:
    async with asyncio.timeout(_PATIENCE_S):
        return bytes(await part.read_chunk(limit))


def _written(name: str) -> str:
    """Return a name that JSON can represent; clients write bytes of any encoding into a form's headers."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


async def _field(part: BodyPartReader) -> str:
    value = await _piece(part, _MAX_FIELD_BYTES + 1)
    if len(value) > _MAX_FIELD_BYTES or not part.at_eof():
        rest = await _piece(part, _MAX_FIELD_BYTES)
        value += rest
    if len(value) > _MAX_FIELD_BYTES:
        raise ApiError(
            HTTPStatus.BAD_REQUEST,
            "a field of the form is too long",
            code="invalid_form",
            param=_written(part.name or ""),
        )
    return value.decode("utf-8", errors="replace")


def _too_large(limit: int) -> ApiError:
    return ApiError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the file is larger than {limit} bytes; send it in parts",
        code="file_too_large",
        param="file",
    )


def _no_room(limit: int) -> ApiError:
    return ApiError(
        HTTPStatus.TOO_MANY_REQUESTS,
        f"your files may take {limit} bytes in total; delete some",
        code="storage_limit_reached",
        kind="insufficient_quota",
    )


def _wrong_life() -> ApiError:
    return ApiError(
        HTTPStatus.BAD_REQUEST,
        f"files are kept for {MIN_LIFE_S} to {MAX_LIFE_S} seconds after their anchor, 'created_at'",
        code="invalid_expires_after",
        param="expires_after",
    )
