"""Files named by their content, in a directory. A file is whole and durable before its name exists."""

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import BinaryIO

import msgspec

from control_plane.artifacts.digests import hex_of
from control_plane.artifacts.errors import (
    ArtifactNotFoundError,
    ArtifactStoreUnavailableError,
    ArtifactTooLargeError,
    DigestDiffersError,
)
from control_plane.artifacts.space import Space
from control_plane.artifacts.upload_turns import UploadTurns
from infra.data_directory import folder_of_workspace

_READ_BYTES = 1 << 20


class StoredArtifact(msgspec.Struct, frozen=True, kw_only=True):
    """A file that the store holds."""

    digest: str
    size_bytes: int


class ArtifactStore:
    """Keeps files below `<root>/sha256/<first 2>/<64 hex>`; all methods block on the disk.

    `space` counts them: what a workspace has is added up when its store is prepared, and kept up to date from then on.
    """

    def __init__(self, root: Path, *, max_bytes: int, space: Space | None = None) -> None:
        self.max_bytes = max_bytes
        self.space = space or Space(workspace="", quota_bytes=0)
        self._root = root
        self._incoming = root / "incoming"
        self._naming = Lock()

    def prepare(self) -> None:
        """Make the folders, delete what uploads that a crash cut short have left, and add up what is kept."""
        with translate_disk_errors():
            self._incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
            for left in self._incoming.iterdir():
                left.unlink()
            (self._root / "sha256").mkdir(mode=0o700, exist_ok=True)
            _sync_folder(self._root)
            self.space.set(sum(path.stat().st_size for path in (self._root / "sha256").glob("*/*")))

    def find(self, digest: str) -> StoredArtifact | None:
        """Return what is known of a file, or None when the store does not hold it."""
        with translate_disk_errors():
            try:
                return StoredArtifact(digest=digest, size_bytes=self.path_of(digest).stat().st_size)
            except FileNotFoundError:
                return None

    def open(self, digest: str) -> BinaryIO:
        """Open a file for reading.

        Raises:
            ArtifactNotFoundError: the store does not hold it.
        """
        with translate_disk_errors():
            try:
                return self.path_of(digest).open("rb")
            except FileNotFoundError:
                raise ArtifactNotFoundError(digest) from None

    def path_of(self, digest: str) -> Path:
        """Return a file's path, whether it exists or not.

        Raises:
            MalformedDigestError: the text is not a digest.
        """
        name = hex_of(digest)
        return self._root / "sha256" / name[:2] / name

    def receive(self, digest: str) -> "Upload":
        """Begin an upload, without touching the disk; call `keep` once all is there, and `close` in any case."""
        return Upload(self, digest, self._incoming / secrets.token_hex(16))

    def require_space(self, digest: str, size_bytes: int) -> None:
        """Refuse a file that is too large, before any of it arrives.

        Raises:
            ArtifactTooLargeError: no file may be so large.
            ArtifactQuotaExceededError: the workspace has no space for it.
        """
        if size_bytes > self.max_bytes:
            raise ArtifactTooLargeError(limit_bytes=self.max_bytes)
        self.space.require(size_bytes - self.size_of(digest))

    def give_name(self, temporary: Path, digest: str, *, claimed: int) -> None:
        """Put a file in its place, and count it instead of what was there and of what was claimed for it."""
        size_bytes = temporary.stat().st_size
        with self._naming:
            replaced = self.size_of(digest)
            temporary.replace(self.path_of(digest))
            self.space.give_back(claimed + replaced - size_bytes)

    def size_of(self, digest: str) -> int:
        """Return how large a file is, 0 where the store does not hold it."""
        found = self.find(digest)
        return 0 if found is None else found.size_bytes


class ArtifactLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How large one file may be, how much a workspace may keep, 0 for no limit, and how many files arrive at once."""

    max_bytes: int
    quota_bytes: int = 0
    uploads_at_once: int = 32
    uploads_at_once_each: int = 8


class ArtifactStores:
    """A store for each workspace, so that none can name, find or replace a file of another.

    That of the home workspace is the folder itself, that of each other one a folder below it. Safe from any thread.
    """

    def __init__(self, root: Path, *, home: str, limits: ArtifactLimits) -> None:
        self.turns = UploadTurns(at_once=limits.uploads_at_once, at_once_each=limits.uploads_at_once_each)
        self._limits = limits
        self._root = root
        self._home = home
        self._stores: dict[str, ArtifactStore] = {}
        self._opening = Lock()
        self.of(home)

    def of(self, workspace: str) -> ArtifactStore:
        """Return the store of a workspace that exists."""
        with self._opening:
            known = self._stores.get(workspace)
            if known is None:
                root = folder_of_workspace(self._root, workspace, home=self._home)
                space = Space(workspace=workspace, quota_bytes=self._limits.quota_bytes)
                known = ArtifactStore(root, max_bytes=self._limits.max_bytes, space=space)
                known.prepare()
                self._stores[workspace] = known
            return known


class Upload:
    """A file on its way in: written beside the store, and moved into it only when its digest is right.

    `close` may be called while another thread still writes, as it is when the API stops: whatever comes first, nothing
    of a file that was not kept is left.
    """

    def __init__(self, store: ArtifactStore, digest: str, temporary: Path) -> None:
        self._store = store
        self._digest = digest
        self._final = store.path_of(digest)
        self._temporary = temporary
        self._hash = hashlib.sha256()
        self._size = 0
        self._free = self._claimed = 0
        self._lock = Lock()
        self._is_closed = False
        self._file: BinaryIO | None = None

    def begin(self) -> None:
        """Make the file, before the first bytes are there.

        Raises:
            ArtifactStoreUnavailableError: the disk refuses.
        """
        with self._lock, translate_disk_errors():
            self._opened()

    def write(self, chunk: bytes) -> None:
        """Add bytes.

        Raises:
            ArtifactTooLargeError: the file grows beyond the limit.
            ArtifactQuotaExceededError: the workspace has no space for it.
            ArtifactStoreUnavailableError: the disk refuses.
        """
        with self._lock, translate_disk_errors():
            file = self._opened()
            self._size += len(chunk)
            if self._size > self._store.max_bytes:
                raise ArtifactTooLargeError(limit_bytes=self._store.max_bytes)
            missing = self._size - self._free - self._claimed
            if missing > 0:
                self._store.space.claim(missing)
                self._claimed += missing
            self._hash.update(chunk)
            file.write(chunk)

    def keep(self) -> StoredArtifact:
        """Give the file its name; when this returns it survives a power cut.

        Raises:
            DigestDiffersError: the bytes are not what the digest names; nothing is kept.
        """
        found = f"sha256:{self._hash.hexdigest()}"
        if found != self._digest:
            raise DigestDiffersError(named=self._digest, found=found)
        with self._lock, translate_disk_errors():
            file = self._opened()
            file.flush()
            os.fsync(file.fileno())
            self._final.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._store.give_name(self._temporary, self._digest, claimed=self._claimed)
            self._claimed = 0
            for folder in (self._final.parent, self._final.parent.parent):
                _sync_folder(folder)
        return StoredArtifact(digest=self._digest, size_bytes=self._size)

    def close(self) -> None:
        """Let go of the file, and delete what was not kept."""
        with self._lock:
            self._is_closed = True
            if self._file is not None:
                with suppress(OSError):  # A full disk refuses the last flush; the file is deleted anyway.
                    self._file.close()
                self._temporary.unlink(missing_ok=True)
            self._store.space.give_back(self._claimed)
            self._claimed = 0

    def _opened(self) -> BinaryIO:
        if self._is_closed:
            raise ArtifactStoreUnavailableError("the upload was given up")
        if self._file is None:
            # A file that is sent again takes the place of the kept one, and so only the space that it needs on top.
            self._free = self._store.size_of(self._digest)
            self._file = self._temporary.open("xb")
        return self._file


def read_range(file: BinaryIO, *, start: int, length: int) -> Iterator[bytes]:
    """Yield a part of a file in pieces, and close it."""
    with file:
        file.seek(start)
        while length > 0 and (chunk := file.read(min(_READ_BYTES, length))):
            length -= len(chunk)
            yield chunk


@contextmanager
def translate_disk_errors() -> Iterator[None]:
    """Turn what the disk refuses into ArtifactStoreUnavailableError."""
    try:
        yield
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ArtifactStoreUnavailableError(os.strerror(error.errno or 0)) from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
