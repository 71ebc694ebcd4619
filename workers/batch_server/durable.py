"""Files and folders that exist completely or not at all, whatever happens to the process or the machine."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

INCOMING, LEAVING = ".incoming-", ".leaving-"


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_new(path: Path, content: bytes) -> None:
    """Write a file that nobody reads yet."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace(path: Path, content: bytes) -> None:
    """Replace a file atomically, so that a reader sees either the old or the new content."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        write_new(temporary, content)
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Fill a folder that gets its name when the block exits without an error, and is removed otherwise."""
    incoming = path.with_name(f"{INCOMING}{path.name}")
    incoming.mkdir(mode=0o700)
    try:
        yield incoming
        sync_folder(incoming)
        incoming.rename(path)
        sync_folder(path.parent)
    except BaseException:
        shutil.rmtree(incoming, ignore_errors=True)
        raise


def remove_folder(path: Path) -> None:
    """Remove a folder; rename it first, so that nobody sees half of it."""
    leaving = path.with_name(f"{LEAVING}{path.name}")
    path.rename(leaving)
    sync_folder(path.parent)
    shutil.rmtree(leaving, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Create a folder, and remove what an earlier process was writing or removing there."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for entry in folder.iterdir():
        if entry.name.startswith((INCOMING, LEAVING)):
            shutil.rmtree(entry, ignore_errors=True)
