"""Fetches artifacts, checks them before anything else looks at them, and lays model directories."""

import asyncio
import errno
import hashlib
import os
import shutil
from collections import defaultdict
from http import HTTPStatus
from pathlib import Path

import httpx
import structlog

from schemas.events.registry import Artifact
from serving.engines.artifact_check import check_artifact
from serving.engines.errors import CannotLoadError
from serving.runtime.manifest import ARTIFACT_NAME, Manifest, write_manifest
from workers.serving_agent.control_plane import ControlPlane
from workers.serving_agent.desired import Deployment
from workers.serving_agent.errors import MayServeLaterError, NeverServesError

_TRIES = 4
_PAUSE_S = 0.5
_FETCHED = ".artifacts"
_PART = ".part"

_log = structlog.get_logger(__name__)


class ModelShelf:
    """The directory `models/`: one folder a deployment, and the artifacts that they share by hard links."""

    def __init__(self, directory: Path, control_plane: ControlPlane) -> None:
        self._directory = directory
        self._artifacts = directory / _FETCHED
        self._artifacts.mkdir(parents=True, exist_ok=True)
        self._control_plane = control_plane
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._verified: set[str] = set()

    def models(self) -> frozenset[str]:
        """Return the deployments that have a folder."""
        return frozenset(path.name for path in self._directory.iterdir() if path.name != _FETCHED)

    async def lay(self, deployment: Deployment) -> Path:
        """Return the model directory of a deployment, fetched and checked.

        Raises:
            NeverServesError: the artifact is not what the version says, or not what its format says.
            MayServeLaterError: it can't be had now, or the disk is full.
        """
        async with self._locks[deployment.artifact.digest]:
            try:
                artifact = await self._fetch(deployment.artifact)
                return await asyncio.to_thread(_lay, self._directory / deployment.id, artifact, deployment)
            except CannotLoadError as error:
                raise NeverServesError(error.code, str(error)) from error
            except OSError as error:
                raise disk_failure(error) from error

    def discard(self, deployment_id: str) -> None:
        """Delete a model, and its artifact unless another deployment links to it."""
        shutil.rmtree(self._directory / deployment_id, ignore_errors=True)
        for path in self._artifacts.iterdir():
            if path.stat().st_nlink == 1 and path.suffix != _PART:
                path.unlink()
                self._verified.discard(path.name)
        _log.info("model_discarded", deployment_id=deployment_id)

    async def _fetch(self, artifact: Artifact) -> Path:
        name = artifact.digest.removeprefix("sha256:")
        path = self._artifacts / name
        if name not in self._verified or not path.exists():
            await self._bring(artifact, path)
            self._verified.add(name)
        return path

    async def _bring(self, artifact: Artifact, path: Path) -> None:
        part = path.with_suffix(_PART)
        is_here, is_begun = await asyncio.to_thread(lambda: (path.exists(), part.exists()))
        if not is_here:
            await self._download(artifact, part)
        if is_here or is_begun:
            if await asyncio.to_thread(_is_whole, artifact, path):
                return
            # What an earlier run left says nothing about the version: a disk or a power cut may have damaged it.
            _log.warning("artifact_damaged", digest=artifact.digest)
            await asyncio.to_thread(path.unlink)
            await self._download(artifact, part)
        await asyncio.to_thread(_verify, artifact, path)

    async def _download(self, artifact: Artifact, part: Path) -> None:
        for attempt in range(1, _TRIES + 1):
            try:
                await self._continue(artifact, part)
            except httpx.HTTPError as error:
                _log.warning("artifact_not_fetched", digest=artifact.digest, attempt=attempt, reason=repr(error))
                if attempt == _TRIES:
                    raise MayServeLaterError("artifact-unavailable", f"{artifact.digest}: {error!r}") from error
                await asyncio.sleep(_PAUSE_S * 2**attempt)
            else:
                await asyncio.to_thread(part.replace, part.with_suffix(""))
                return

    async def _continue(self, artifact: Artifact, part: Path) -> None:
        with part.open("ab") as file:
            held = file.tell()
            if held >= artifact.size_bytes:
                return
            async with self._control_plane.artifact(artifact.digest, first_byte=held) as answer:
                if answer.status_code != HTTPStatus.PARTIAL_CONTENT:
                    file.truncate(0)
                    held = 0
                # Raw and as they come: chunks of a fixed size would lose the last part when the stream breaks off.
                async for chunk in answer.aiter_raw():
                    held += len(chunk)
                    await asyncio.to_thread(file.write, chunk)
                    if held > artifact.size_bytes:
                        # More than was promised: the check of size and digest tells the rest.
                        return


def disk_failure(error: OSError) -> MayServeLaterError:
    """Name what a failed write means for the instance."""
    code = "disk-full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "host-unusable"
    return MayServeLaterError(code, f"the agent can't write its files: {error.strerror or error}")


def _lay(directory: Path, artifact: Path, deployment: Deployment) -> Path:
    check_artifact(deployment.artifact.format, artifact)
    directory.mkdir(exist_ok=True)
    target = directory / ARTIFACT_NAME
    if not (target.exists() and target.samefile(artifact)):
        target.unlink(missing_ok=True)
        os.link(artifact, target)
    write_manifest(
        directory,
        Manifest(
            workspace=deployment.workspace,
            endpoint_id=deployment.endpoint_id,
            endpoint=deployment.endpoint,
            deployment_id=deployment.id,
            version=deployment.version,
            artifact=deployment.artifact,
            signature=deployment.signature,
        ),
    )
    return directory


def _is_whole(artifact: Artifact, path: Path) -> bool:
    return _digest(path) == (artifact.digest, artifact.size_bytes)


def _verify(artifact: Artifact, path: Path) -> None:
    digest, size = _digest(path)
    if (digest, size) == (artifact.digest, artifact.size_bytes):
        return
    path.unlink()
    raise NeverServesError(
        "artifact-digest-differs",
        f"the artifact should have {artifact.size_bytes} bytes and {artifact.digest}; "
        f"what came has {size} bytes and {digest}",
    )


def _digest(path: Path) -> tuple[str, int]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return f"sha256:{digest}", path.stat().st_size
