"""Fetches artifacts, checks them before anything else reads them, and prepares model directories."""

import asyncio
import errno
import hashlib
import os
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus
from pathlib import Path

import httpx
import structlog

from infra.removal import remove_folder
from schemas.events.registry import Artifact, ArtifactFormat
from schemas.model_directory import ADAPTER_CONFIGURATION, CONFIGURATION, DirectoryFile, read_index
from serving.engines.artifact_check import check_artifact
from serving.engines.errors import CannotLoadError
from serving.runtime.manifest import ARTIFACT_NAME, FILES_NAME, Manifest, write_manifest
from workers.serving_agent.control_plane import ControlPlane
from workers.serving_agent.desired import Deployment
from workers.serving_agent.errors import MayServeLaterError, NeverServesError

_TRIES = 4
_PAUSE_S = 0.5
_FETCHED, _SCRATCH, _LENT = ".artifacts", ".scratch", ".lent"
_PART = ".part"
_CONFIGURATIONS: Mapping[ArtifactFormat, str] = {"transformers": CONFIGURATION, "lora": ADAPTER_CONFIGURATION}
"""The formats whose artifact is the index of a directory, and the file that identifies each."""

_log = structlog.get_logger(__name__)


class _Turn:
    """How many use an artifact or wait for it, and its lock."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.users = 0


class ModelShelf:
    """The directory `models/`: one folder per deployment, and the artifacts that they share by hard links.

    Engines of a deployment have a folder of their own to write to, and one with the adapters that they may load.
    """

    def __init__(self, directory: Path, control_plane: ControlPlane) -> None:
        self._directory = directory
        self._artifacts = directory / _FETCHED
        self._artifacts.mkdir(parents=True, exist_ok=True)
        self._control_plane = control_plane
        self._turns: dict[str, _Turn] = {}
        self._verified: set[str] = set()
        self._in_use: Counter[str] = Counter()

    def models(self) -> frozenset[str]:
        """Return the deployments that have a folder."""
        return frozenset(path.name for path in self._directory.iterdir() if not path.name.startswith("."))

    def directory_of(self, deployment_id: str) -> Path:
        """Return the path of a deployment's model, whether it exists or not."""
        return self._directory / deployment_id

    def scratch_of(self, deployment_id: str) -> Path:
        """Return the folder in which engines of a deployment write what they need only themselves.

        Raises:
            MayServeLaterError: it cannot be made.
        """
        path = self._directory / _SCRATCH / deployment_id
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise disk_failure(error) from error
        return path

    async def prepare(self, deployment: Deployment) -> Path:
        """Return the model directory of a deployment, after fetching and checking its artifact.

        Raises:
            NeverServesError: the artifact is not the version's, or not of its format.
            MayServeLaterError: it is not available now, or the disk is full.
        """
        artifact = deployment.artifact
        with self._keep_from_discard(artifact.digest):
            try:
                path = await self._fetch(artifact, deployment.workspace)
                await asyncio.to_thread(check_artifact, artifact.format, path)
                if artifact.format in _CONFIGURATIONS:
                    return await self._prepare_directory(deployment, path)
                return await asyncio.to_thread(_link_model, self._directory / deployment.id, path, deployment)
            except CannotLoadError as error:
                raise NeverServesError(error.code, str(error)) from error
            except OSError as error:
                raise disk_failure(error) from error

    def discard(self, deployment_id: str) -> None:
        """Delete a model, and its artifact unless another deployment links to it."""
        lent = self._directory / _LENT
        for folder in (
            self._directory / deployment_id,
            self._directory / _SCRATCH / deployment_id,
            lent / deployment_id,
            *lent.glob(f"*/{deployment_id}"),
        ):
            remove_folder(folder)
        for path in self._artifacts.iterdir():
            is_unused = path.stat().st_nlink == 1 and path.suffix != _PART
            if is_unused and not self._in_use[path.name]:
                path.unlink()
                self._verified.discard(path.name)
        _log.info("model_discarded", deployment_id=deployment_id)

    async def _prepare_directory(self, deployment: Deployment, index: Path) -> Path:
        """Fetch the files that an index names, one after the other, and hard-link them all."""
        configuration = _CONFIGURATIONS[deployment.artifact.format]
        files = read_index(await asyncio.to_thread(index.read_bytes), configuration=configuration).files
        with self._keep_from_discard(*(file.digest for file in files)):
            found = {file.path: await self._fetch(file, deployment.workspace) for file in files}
            return await asyncio.to_thread(_link_model, self._directory / deployment.id, index, deployment, found)

    @contextmanager
    def _keep_from_discard(self, *digests: str) -> Iterator[None]:
        """Protect files that are fetched but not yet linked from being discarded with another model."""
        names = [_name_of(digest) for digest in digests]
        self._in_use.update(names)
        try:
            yield
        finally:
            # Only what is still being prepared is remembered.
            self._in_use -= Counter(names)

    @asynccontextmanager
    async def _hold_turn(self, name: str) -> AsyncIterator[None]:
        """Keep two deployments from fetching a shared file at the same time; nothing is remembered after the last."""
        turn = self._turns.setdefault(name, _Turn())
        turn.users += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.users -= 1
            if not turn.users:
                del self._turns[name]

    async def _fetch(self, artifact: Artifact | DirectoryFile, workspace: str) -> Path:
        name = _name_of(artifact.digest)
        path = self._artifacts / name
        async with self._hold_turn(name):
            if name not in self._verified or not path.exists():
                await self._fetch_whole(artifact, path, workspace)
                self._verified.add(name)
        return path

    async def _fetch_whole(self, artifact: Artifact | DirectoryFile, path: Path, workspace: str) -> None:
        part = path.with_suffix(_PART)
        is_here, has_begun = await asyncio.to_thread(lambda: (path.exists(), part.exists()))
        if not is_here:
            await self._download(artifact, part, workspace)
        if is_here or has_begun:
            if await asyncio.to_thread(_is_whole, artifact, path):
                return
            # A file from an earlier run says nothing about the version: a disk or a power cut may have damaged it.
            _log.warning("artifact_damaged", digest=artifact.digest)
            await asyncio.to_thread(path.unlink)
            await self._download(artifact, part, workspace)
        await asyncio.to_thread(_verify, artifact, path)

    async def _download(self, artifact: Artifact | DirectoryFile, part: Path, workspace: str) -> None:
        for attempt in range(1, _TRIES + 1):
            try:
                await self._continue(artifact, part, workspace)
            except httpx.HTTPError as error:
                _log.warning("artifact_not_fetched", digest=artifact.digest, attempt=attempt, reason=repr(error))
                if attempt == _TRIES:
                    raise MayServeLaterError("artifact-unavailable", f"{artifact.digest}: {error!r}") from error
                await asyncio.sleep(_PAUSE_S * 2**attempt)
            else:
                await asyncio.to_thread(part.replace, part.with_suffix(""))
                return

    async def _continue(self, artifact: Artifact | DirectoryFile, part: Path, workspace: str) -> None:
        with part.open("ab") as file:
            held = file.tell()
            if held >= artifact.size_bytes:
                return
            source = self._control_plane.within(workspace)
            async with source.artifact(artifact.digest, first_byte=held) as answer:
                if answer.status_code != HTTPStatus.PARTIAL_CONTENT:
                    file.truncate(0)
                    held = 0
                # Raw chunks as they arrive: chunks of a fixed size would lose the last part when the stream breaks off.
                async for chunk in answer.aiter_raw():
                    held += len(chunk)
                    await asyncio.to_thread(file.write, chunk)
                    if held > artifact.size_bytes:
                        # More than was promised: the check of size and digest rejects it.
                        return


def lend(models: Path, deployment_id: str, *, to: str) -> Path:
    """Link a model's files to where the engines of another deployment can read them, and return that folder.

    Raises:
        OSError: they cannot be linked.
    """
    source, target = models / deployment_id / FILES_NAME, lent_to(models, to) / deployment_id
    for file in source.rglob("*"):
        if file.is_file():
            _link(file, target / file.relative_to(source))
    return target


def lent_to(models: Path, deployment_id: str) -> Path:
    """Return the folder with what others lend to the engines of a deployment; it exists once they may read it."""
    folder = models / _LENT / deployment_id
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def disk_failure(error: OSError) -> MayServeLaterError:
    """Return what a failed write means for the instance."""
    code = "disk-full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "host-unusable"
    return MayServeLaterError(code, f"the agent cannot write its files: {error.strerror or error}")


def _name_of(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _link_model(
    directory: Path, artifact: Path, deployment: Deployment, files: Mapping[str, Path] | None = None
) -> Path:
    directory.mkdir(exist_ok=True)
    _link(artifact, directory / ARTIFACT_NAME)
    for path, file in (files or {}).items():
        _link(file, directory / FILES_NAME / path)
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
            golden=deployment.golden,
        ),
    )
    return directory


def _link(file: Path, target: Path) -> None:
    if not (target.exists() and target.samefile(file)):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        os.link(file, target)


def _is_whole(artifact: Artifact | DirectoryFile, path: Path) -> bool:
    return _digest(path) == (artifact.digest, artifact.size_bytes)


def _verify(artifact: Artifact | DirectoryFile, path: Path) -> None:
    digest, size = _digest(path)
    if (digest, size) == (artifact.digest, artifact.size_bytes):
        return
    path.unlink()
    raise NeverServesError(
        "artifact-digest-differs",
        f"the artifact should have {artifact.size_bytes} bytes and {artifact.digest}; "
        f"the download has {size} bytes and {digest}",
    )


def _digest(path: Path) -> tuple[str, int]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return f"sha256:{digest}", path.stat().st_size
