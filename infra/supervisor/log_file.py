"""The log of one program: a file that the program appends to, cut before it grows too large."""

import os
import shutil
from pathlib import Path

MAX_BYTES = 16 * 1024 * 1024
_KEPT = 2


class LogFile:
    """Programs write to the file itself, so no process has to pump lines for another to live.

    Rotation copies and cuts: the program keeps its handle, and a line that falls
    between copy and cut is lost.
    """

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self.path = path
        self._max_bytes = max_bytes

    def open(self) -> int:
        """Return a handle to append to; the caller closes it."""
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def rotate(self) -> None:
        """Cut the file when it is too large; older parts are kept as ``.1`` and ``.2``."""
        if not self.path.exists() or self.path.stat().st_size <= self._max_bytes:
            return
        for number in range(_KEPT, 1, -1):
            older, newer = self._part(number), self._part(number - 1)
            if newer.exists():
                newer.replace(older)
        shutil.copyfile(self.path, self._part(1))
        os.truncate(self.path, 0)

    def tail(self, *, max_bytes: int = 65_536) -> str:
        """Return the end of the log as text."""
        try:
            with self.path.open("rb") as file:
                file.seek(max(0, self.path.stat().st_size - max_bytes))
                return file.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    def _part(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")
