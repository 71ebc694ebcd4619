"""The one directory that holds all state of a stack: its layout, format and lock."""

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from infra.errors import DataDirectoryError, StackAlreadyRunningError

FORMAT = "1"
MIN_FREE_BYTES = 512 * 1024 * 1024
_WORKSPACES = "workspaces"


class DataDirectory(msgspec.Struct, frozen=True):
    """Where things are below the root; ``part`` gives each program a folder of its own."""

    root: Path

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    def part(self, name: str) -> Path:
        return self.root / name


def folder_of_workspace(folder: Path, workspace: str, *, home: str) -> Path:
    """Return where a workspace's own files are in a folder that is divided: the home workspace's lie directly in it."""
    return folder if workspace == home else folder / _WORKSPACES / workspace


def folders_of_workspaces(folder: Path) -> list[Path]:
    """Return those of a divided folder, each named like its workspace; the home workspace has none."""
    return sorted(path for path in (folder / _WORKSPACES).glob("*") if path.is_dir())


def open_data_directory(root: Path, *, min_free_bytes: int = MIN_FREE_BYTES) -> DataDirectory:
    """Create the directory, or check that it has our format, room and can be written.

    Raises DataDirectoryError with one sentence that says what to change.
    """
    root = root.absolute()
    data = DataDirectory(root)
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        _check_room(root, min_free_bytes)
        _check_format(root)
        for folder in (data.run, data.logs):
            folder.mkdir(exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=data.run) as probe:
            probe.write(b"x")
    except OSError as error:
        raise DataDirectoryError(_sentence(root, error)) from error
    return data


@contextmanager
def exclusive(data: DataDirectory) -> Iterator[None]:
    """Hold the directory for this process; the kernel lets go when the process dies."""
    with (data.root / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackAlreadyRunningError(directory=str(data.root), pid=_pid_in(data.root / "lock")) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file so that a reader sees the old or the new content, never half of it."""
    with _written_beside(path, content) as temporary:
        temporary.replace(path)


def write_once(path: Path, content: bytes) -> None:
    """Write a file in one step; of several who do so at once, all then read what the first one wrote."""
    with _written_beside(path, content) as temporary, suppress(FileExistsError):
        path.hardlink_to(temporary)


@contextmanager
def _written_beside(path: Path, content: bytes) -> Iterator[Path]:
    """Write a file for its owner alone, safe on the disk, and delete it where it has no other name afterwards."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _check_room(root: Path, min_free_bytes: int) -> None:
    free = shutil.disk_usage(root).free
    if free < min_free_bytes:
        raise DataDirectoryError(
            f"the data directory {root} has only {free // 2**20} MiB free but needs "
            f"{min_free_bytes // 2**20} MiB; free some space or choose another directory"
        )


def _check_format(root: Path) -> None:
    path = root / "format"
    if not path.exists():
        _refuse_foreign_files(root)
        write_atomically(path, f"{FORMAT}\n".encode())
    found = path.read_text().strip()
    if found != FORMAT:
        raise DataDirectoryError(
            f"the data directory {root} has format {found!r}, but this Rollbook reads format "
            f"{FORMAT!r}; use the version that wrote it or choose another directory"
        )


def _refuse_foreign_files(root: Path) -> None:
    if any(not entry.name.startswith(".format.") for entry in root.iterdir()):
        raise DataDirectoryError(
            f"the directory {root} is not empty and was not made by Rollbook; choose an empty or new directory"
        )


def _pid_in(path: Path) -> int | None:
    text = path.read_text().strip()
    return int(text) if text.isdigit() else None


def _sentence(root: Path, error: OSError) -> str:
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            why, remedy = "is full", "free some space"
        case errno.EROFS | errno.EACCES | errno.EPERM:
            why, remedy = "cannot be written", "give this user write permission"
        case errno.ENOTDIR | errno.EEXIST:
            why, remedy = "is not a directory", "move that file away"
        case _:
            why, remedy = f"cannot be used ({os.strerror(error.errno or 0)})", "repair it"
    return f"the data directory {root} {why}; {remedy} or choose another directory"
