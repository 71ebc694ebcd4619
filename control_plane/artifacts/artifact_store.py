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
from infra.data_directory import folder_of_workspace

_READ_BYTES = 1 << 20


class StoredArtifact(msgspec.Struct, frozen=True, kw_only=True):
    """A file that the store holds."""

    digest: str
    size_bytes: int


class ArtifactStore:
    """Keeps files below `<root>/sha256/<first 2>/<64 hex>`; all methods block on the disk."""

    def __init__(self, root: Path, *, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._root = root
        self._incoming = root / "incoming"

    def prepare(self) -> None:
        """Make the folders, and delete what uploads that a crash cut short have left."""
        with translate_disk_errors():
            self._incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
            for left in self._incoming.iterdir():
                left.unlink()
            (self._root / "sha256").mkdir(mode=0o700, exist_ok=True)
            _sync_folder(self._root)

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
        """Begin an upload; call `keep` once all is there, and `close` in any case."""
        with translate_disk_errors():
            return Upload(self, digest, self._incoming / secrets.token_hex(16))


class ArtifactStores:
    """A store for each workspace, so that none can name, find or replace a file of another.

    That of the home workspace is the folder itself, that of each other one a folder below it. Safe from any thread.
    """

    def __init__(self, root: Path, *, home: str, max_bytes: int) -> None:
        self.max_bytes = max_bytes
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
                known = ArtifactStore(root, max_bytes=self.max_bytes)
                known.prepare()
                self._stores[workspace] = known
            return known


class Upload:
    """A file on its way in: written beside the store, and moved into it only when its digest is right."""

    def __init__(self, store: ArtifactStore, digest: str, temporary: Path) -> None:
        self._store = store
        self._digest = digest
        self._final = store.path_of(digest)
        self._temporary = temporary
        self._hash = hashlib.sha256()
        self._size = 0
        self._file = temporary.open("xb")

    def write(self, chunk: bytes) -> None:
        """Add bytes.

        Raises:
            ArtifactTooLargeError: the file grows beyond the limit.
            ArtifactStoreUnavailableError: the disk refuses.
        """
        self._size += len(chunk)
        if self._size > self._store.max_bytes:
            raise ArtifactTooLargeError(limit_bytes=self._store.max_bytes)
        self._hash.update(chunk)
        with translate_disk_errors():
            self._file.write(chunk)

    def keep(self) -> StoredArtifact:
        """Give the file its name; when this returns it survives a power cut.

        Raises:
            DigestDiffersError: the bytes are not what the digest names; nothing is kept.
        """
        found = f"sha256:{self._hash.hexdigest()}"
        if found != self._digest:
            raise DigestDiffersError(named=self._digest, found=found)
        with translate_disk_errors():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._final.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._temporary.replace(self._final)
            for folder in (self._final.parent, self._final.parent.parent):
                _sync_folder(folder)
        return StoredArtifact(digest=self._digest, size_bytes=self._size)

    def close(self) -> None:
        """Let go of the file, and delete what was not kept."""
        with suppress(OSError):  # A full disk refuses the last flush; the file is deleted anyway.
            self._file.close()
        self._temporary.unlink(missing_ok=True)


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
