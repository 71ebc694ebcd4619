"""How calls are put on the wire and answers are read; shared by the sync and the async client."""

import hashlib
import mimetypes
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import httpx
import msgspec

from rollbook.errors import RollbookError, problem_from

T = TypeVar("T")

DEFAULT_TIMEOUT_S = 30.0
_CHUNK_BYTES = 1 << 20
_FIRST_ERROR_STATUS = 400
_VERSION_REFERENCE = re.compile(r"(?P<model>[^/]+)/(?P<number>[0-9]+)")


def headers_for(token: str | None) -> dict[str, str]:
    """Return the headers of every call."""
    return {"authorization": f"Bearer {token}"} if token else {}


def command_headers(idempotency_key: str | None, if_match: int | None) -> dict[str, str]:
    """Return a command's headers; without a key it gets one, so that a retry by the transport has one effect."""
    headers = {"idempotency-key": idempotency_key or str(uuid4())}
    if if_match is not None:
        headers["if-match"] = f'"{if_match}"'
    return headers


def without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    """Drop what was not given."""
    return {name: value for name, value in values.items() if value is not None}


def read_answer(answer: httpx.Response, result: type[T]) -> T:
    """Read an answer into its type.

    Raises:
        Problem: the server refused.
    """
    if answer.status_code >= _FIRST_ERROR_STATUS:
        raise problem_from(answer.status_code, answer.content)
    return msgspec.json.decode(answer.content, type=result)


def digest_of(path: Path) -> str:
    """Return `sha256:<hex>` of a file."""
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            hasher.update(chunk)
    return f"sha256:{hasher.hexdigest()}"


def format_of(path: Path) -> str:
    """Guess an artifact's format from the file's ending.

    Raises:
        RollbookError: the ending says nothing.
    """
    formats = {".skops": "skops", ".onnx": "onnx", ".pt2": "torch"}
    try:
        return formats[path.suffix.lower()]
    except KeyError:
        kind = mimetypes.guess_type(path.name)[0] or "unknown content"
        message = f"{path.name} ({kind}) is neither .skops, .onnx nor .pt2; pass artifact_format."
        raise RollbookError(message) from None


def split_reference(version: str) -> tuple[str, int]:
    """Split `model/number`.

    Raises:
        RollbookError: the text has another form.
    """
    match = _VERSION_REFERENCE.fullmatch(version)
    if match is None:
        message = f"{version!r} is no version; write model/number, for example digits/2."
        raise RollbookError(message)
    return match["model"], int(match["number"])
