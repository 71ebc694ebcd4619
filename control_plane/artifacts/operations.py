"""The operations on files of the artifact store."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from functools import partial
from typing import Any

from litestar import MediaType, Request, Response
from litestar.exceptions import HTTPException
from litestar.response import Stream

from control_plane.artifacts import errors
from control_plane.artifacts.artifact_store import ArtifactStore, ArtifactStores, StoredArtifact, read_range
from control_plane.artifacts.ranges import asked_range
from control_plane.web.authentication import actor_of
from infra.operations import AGENT, DRIFT, OPERATORS, READERS, SERVICES, Operations, Transfer

_MEDIA_TYPE = "application/octet-stream"
_WRITE_BYTES = 1 << 20
_MAX_IDLE_S = 60.0
_PATH = "/v1/artifacts/{digest}"
_OK, _CREATED, _PARTIAL = 200, 201, 206
_READING = (errors.MalformedDigestError, errors.ArtifactNotFoundError, errors.ArtifactStoreUnavailableError)
_UPLOADING = (
    errors.MalformedDigestError,
    errors.ArtifactTooLargeError,
    errors.ArtifactQuotaExceededError,
    errors.TooManyUploadsError,
    errors.DigestDiffersError,
    errors.UploadCutShortError,
    errors.ArtifactStoreUnavailableError,
)

AnyRequest = Request[Any, Any, Any]

_DESCRIBING = ("ETag", "Accept-Ranges", "Cache-Control")


def operations(stores: ArtifactStores) -> Operations:
    """Declare them."""
    return Operations("registry", [*_uploads(stores), *_reads(stores)])


def _uploads(stores: ArtifactStores) -> list[Transfer]:
    return [
        Transfer(
            method="PUT",
            path=_PATH,
            handler=partial(put_artifact, stores),
            sdk="artifacts.put",
            upload=_MEDIA_TYPE,
            answers=StoredArtifact,
            status=_CREATED,
            also=(_OK,),
            roles=OPERATORS,
            summary="Upload a file under the digest of its content",
            errors=_UPLOADING,
        ),
        Transfer(
            method="PUT",
            path="/v1/references/{digest}",
            handler=partial(put_artifact, stores),
            name="put_reference",
            upload=_MEDIA_TYPE,
            answers=StoredArtifact,
            status=_CREATED,
            also=(_OK,),
            roles=SERVICES,
            duties=DRIFT,
            is_for_installation=True,
            summary="Upload the reference of a monitor under the digest of its content",
            errors=_UPLOADING,
        ),
    ]


def _reads(stores: ArtifactStores) -> list[Transfer]:
    return [
        Transfer(
            method="GET",
            path=_PATH,
            handler=partial(get_artifact, stores),
            sdk="artifacts.download",
            download=_MEDIA_TYPE,
            headers=(*_DESCRIBING, "Content-Range"),
            also=(_PARTIAL,),
            roles=READERS,
            duties=AGENT | DRIFT,
            summary="Download a file, or part of it with Range",
            errors=(*_READING, errors.RangeNotSatisfiableError),
        ),
        Transfer(
            method="HEAD",
            path=_PATH,
            handler=partial(head_artifact, stores),
            headers=_DESCRIBING,
            roles=READERS,
            summary="Check whether the store holds a file, and how large it is",
            errors=_READING,
        ),
    ]


async def put_artifact(stores: ArtifactStores, request: AnyRequest, digest: str) -> Response[StoredArtifact]:
    """Keep a file."""
    with stores.turns.turn(actor_of(request).workspace):
        store = await _store_of(request, stores)
        was_there = await asyncio.to_thread(store.find, digest) is not None
        # A file that is there is written again all the same: that proves the bytes, and repairs a damaged disk.
        kept = await _received(request, store, digest)
    return Response(kept, status_code=_OK if was_there else _CREATED)


async def get_artifact(stores: ArtifactStores, request: AnyRequest, digest: str) -> Stream:
    """Send a file, or the part of it that Range asks for."""
    store = await _store_of(request, stores)
    found = await _found(store, digest)
    asked = asked_range(request.headers.get("range"), size_bytes=found.size_bytes)
    file = await asyncio.to_thread(store.open, digest)
    headers = _headers(found)
    if asked is None:
        return Stream(read_range(file, start=0, length=found.size_bytes), media_type=_MEDIA_TYPE, headers=headers)
    headers["content-length"] = str(asked.length)
    headers["content-range"] = f"bytes {asked.start}-{asked.start + asked.length - 1}/{found.size_bytes}"
    part = read_range(file, start=asked.start, length=asked.length)
    return Stream(part, status_code=_PARTIAL, media_type=_MEDIA_TYPE, headers=headers)


async def head_artifact(stores: ArtifactStores, request: AnyRequest, digest: str) -> Response[None]:
    """Say whether a file is there."""
    headers = _headers(await _found(await _store_of(request, stores), digest)) | {"content-type": _MEDIA_TYPE}
    # The framework renders "no content" for text and JSON alone; the header says what GET would send.
    return Response(None, media_type=MediaType.TEXT, headers=headers)


async def _store_of(request: AnyRequest, stores: ArtifactStores) -> ArtifactStore:
    return await asyncio.to_thread(stores.of, actor_of(request).workspace)


async def _found(store: ArtifactStore, digest: str) -> StoredArtifact:
    found = await asyncio.to_thread(store.find, digest)
    if found is None:
        raise errors.ArtifactNotFoundError(digest)
    return found


def _headers(found: StoredArtifact) -> dict[str, str]:
    return {
        "content-length": str(found.size_bytes),
        "accept-ranges": "bytes",
        "etag": f'"{found.digest}"',
        "cache-control": "private, max-age=31536000, immutable",
    }


async def _received(request: AnyRequest, store: ArtifactStore, digest: str) -> StoredArtifact:
    announced = request.headers.get("content-length", "")
    if announced.isdecimal():
        await asyncio.to_thread(store.require_space, digest, int(announced))
    upload = store.receive(digest)
    try:
        await asyncio.to_thread(upload.begin)
        async for piece in _pieces(request):
            await asyncio.to_thread(upload.write, piece)
        return await asyncio.to_thread(upload.keep)
    finally:
        await asyncio.shield(asyncio.to_thread(upload.close))


async def _pieces(request: AnyRequest) -> AsyncIterator[bytes]:
    """Yield the body in larger pieces than the network gives, so that each costs one switch of threads."""
    gathered, chunks = bytearray(), request.stream()
    try:
        # One who sends nothing must not hold a place among those that may arrive at once.
        while (chunk := await _next_of(chunks)) is not None:
            gathered += chunk
            if len(gathered) >= _WRITE_BYTES:
                yield bytes(gathered)
                gathered.clear()
    except (HTTPException, TimeoutError) as error:
        raise errors.UploadCutShortError from error
    if gathered:
        yield bytes(gathered)


async def _next_of(chunks: AsyncGenerator[bytes, None]) -> bytes | None:
    async with asyncio.timeout(_MAX_IDLE_S):
        return await anext(chunks, None)
