"""The files of callers and of batches on disk: one folder each, with the content and its record."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec

from workers.batch_server import durable
from workers.batch_server.callers import Caller
from workers.batch_server.errors import not_found
from workers.batch_server.wire import FileObject

_CONTENT, _KNOWN = "content", "file.json"
_READ_BYTES = 1024 * 1024
# Even a small file takes a folder and two inodes.
_MIN_BYTES = 4_096
Purpose = Literal["batch", "batch_output"]


class StoredFile(msgspec.Struct, frozen=True, kw_only=True):
    """The record of a file; times are Unix seconds."""

    id: str
    workspace: str
    owner: str
    filename: str
    purpose: Purpose
    size_bytes: int
    sha256: str
    created_at_s: int
    expires_at_s: int

    @property
    def shown(self) -> FileObject:
        """The file as its owner sees it."""
        return FileObject(
            id=self.id,
            size=self.size_bytes,
            created_at=self.created_at_s,
            expires_at=self.expires_at_s,
            filename=self.filename,
            purpose=self.purpose,
        )


class Incoming:
    """Content that is being written. It only counts once the file is kept."""

    def __init__(self, folder: Path, content: BinaryIO) -> None:
        self.folder = folder
        self._content = content
        self._digest = hashlib.sha256()
        self.size_bytes = 0
        self.newlines = 0

    def write(self, piece: bytes) -> None:
        """Append a chunk.

        Raises:
            OSError: it cannot be written.
        """
        self._content.write(piece)
        self._digest.update(piece)
        self.size_bytes += len(piece)
        self.newlines += piece.count(b"\n")

    @property
    def sha256(self) -> str:
        """The digest of everything written so far."""
        return self._digest.hexdigest()

    def finish(self, known: StoredFile) -> None:
        """Sync the content and its record to disk."""
        self._content.flush()
        os.fsync(self._content.fileno())
        durable.write_new(self.folder / _KNOWN, msgspec.json.encode(known))


class FileStore:
    """Stores the files. Its calls block, so callers use a thread for contents."""

    def __init__(self, folder: Path, *, new_id: Callable[[], str]) -> None:
        self._folder = folder
        self._new_id = new_id
        self._files: dict[str, StoredFile] = {}

    def open(self) -> None:
        """Read what exists, and remove what an earlier process left half-done."""
        durable.sweep(self._folder)
        for path in self._folder.glob(f"*/{_KNOWN}"):
            known = msgspec.json.decode(path.read_bytes(), type=StoredFile)
            self._files[known.id] = known

    @property
    def _all(self) -> list[StoredFile]:
        # A copy, because threads add and delete files meanwhile.
        return list(self._files.values())

    @property
    def count(self) -> int:
        """The number of files."""
        return len(self._files)

    @property
    def size_bytes(self) -> int:
        """Their total size."""
        return sum(file.size_bytes for file in self._all)

    def of(self, caller: Caller, file_id: str) -> StoredFile:
        """Return one of the caller's files.

        Raises:
            ApiError: there is none, or it belongs to somebody else.
        """
        found = self._files.get(file_id)
        if found is None or not caller.owns(found.workspace, found.owner):
            raise not_found("file", file_id, param="file_id")
        return found

    def all_of(self, caller: Caller) -> list[StoredFile]:
        """Return the caller's files, oldest first."""
        owned = (file for file in self._all if caller.owns(file.workspace, file.owner))
        return sorted(owned, key=lambda file: file.id)

    def used_bytes(self, caller: Caller) -> int:
        """Return the total size of the caller's files."""
        return sum(max(file.size_bytes, _MIN_BYTES) for file in self.all_of(caller))

    def content(self, file: StoredFile) -> Path:
        """Return where a file's content is."""
        return self._folder / file.id / _CONTENT

    @contextmanager
    def incoming(self) -> Iterator[tuple[str, Incoming]]:
        """Receive a file under a new id; without `Incoming.finish` and `kept` nothing of it stays."""
        file_id = self._new_id()
        with durable.new_folder(self._folder / file_id) as folder, (folder / _CONTENT).open("wb") as content:
            yield file_id, Incoming(folder, content)

    def kept(self, known: StoredFile) -> None:
        """Make a file visible that has its name on disk."""
        self._files[known.id] = known

    def adopt(self, content: Path, known: StoredFile) -> None:
        """Make a file from content that is already on disk, without copying it. Idempotent."""
        if known.id in self._files:
            return
        folder = self._folder / known.id
        if not folder.exists():
            with durable.new_folder(folder) as incoming:
                (incoming / _CONTENT).hardlink_to(content)
                durable.write_new(incoming / _KNOWN, msgspec.json.encode(known))
        self._files[known.id] = known

    def delete(self, file_id: str) -> None:
        """Remove a file with its content."""
        if self._files.pop(file_id, None) is not None:
            durable.remove_folder(self._folder / file_id)

    def outdated(self, *, now_s: int, erased: frozenset[str]) -> list[str]:
        """Return the files that have expired or whose owner was erased."""
        return [file.id for file in self._all if file.expires_at_s <= now_s or file.owner in erased]


def digest_of(path: Path) -> tuple[str, int, int]:
    """Return a file's digest, size and number of lines, reading it chunk by chunk."""
    digest, size_bytes, lines = hashlib.sha256(), 0, 0
    with path.open("rb") as file:
        while piece := file.read(_READ_BYTES):
            digest.update(piece)
            size_bytes += len(piece)
            lines += piece.count(b"\n")
    return digest.hexdigest(), size_bytes, lines
