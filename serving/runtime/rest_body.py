"""Reads the body of a REST request within its limits, and separates its JSON from the bytes that follow."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from typing import Any, TypeAlias

import msgspec

from serving.runtime.admission import Hold
from serving.runtime.errors import InvalidRequestError, TooLargeError

Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]

HEADER_LENGTH = b"inference-header-content-length"
_READ_AWAY_S = 5.0


class Body(msgspec.Struct, frozen=True):
    """A request's JSON, and the bytes of tensors after it."""

    json: memoryview
    binary: memoryview


async def read_body(headers: Mapping[bytes, bytes], receive: Receive, *, hold: Hold, limit_bytes: int) -> Body:
    """Read the whole body.

    Raises:
        TooLargeError: it exceeds the limit.
        OverloadedError: too many bytes would be in progress.
        InvalidRequestError: it is compressed, incomplete or split incorrectly.
    """
    if headers.get(b"content-encoding", b"identity") != b"identity":
        raise InvalidRequestError("a compressed body cannot be read; send it uncompressed")
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and int(declared) > limit_bytes:
        raise TooLargeError(limit_bytes=limit_bytes)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidRequestError("the caller disconnected before its request was complete")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit_bytes:
            raise TooLargeError(limit_bytes=limit_bytes)
        hold.add(len(chunk))
        chunks.append(chunk)
        if not message.get("more_body", False):
            return _split_body(headers, chunks[0] if len(chunks) == 1 else b"".join(chunks))


async def discard_rest(receive: Receive, *, max_bytes: int) -> None:
    """Read and discard the rest of a rejected body.

    Most clients only read an answer once they have sent everything, and lose it if the connection breaks before.
    """
    read = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(_READ_AWAY_S):
            while read <= max_bytes:
                message = await receive()
                read += len(message.get("body", b""))
                if not message.get("more_body", False):
                    return


def _split_body(headers: Mapping[bytes, bytes], body: bytes) -> Body:
    view = memoryview(body)
    length = headers.get(HEADER_LENGTH)
    if length is None:
        return Body(view, view[len(view) :])
    if not length.isdigit() or int(length) > len(body):
        raise InvalidRequestError(
            f"Inference-Header-Content-Length is {length.decode('latin-1')!r}; it must be the length of the JSON "
            f"at the beginning of a body of {len(body)} bytes"
        )
    return Body(view[: int(length)], view[int(length) :])
