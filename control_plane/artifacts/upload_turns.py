"""How many files may arrive at once: in one workspace, and in all."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from control_plane.artifacts.errors import TooManyUploadsError


class UploadTurns:
    """Refuses an upload above a limit: one that waited would hold a connection. For one thread."""

    def __init__(self, *, at_once: int, at_once_each: int) -> None:
        self._at_once = at_once
        self._at_once_each = at_once_each
        self._running: Counter[str] = Counter()

    @contextmanager
    def turn(self, workspace: str) -> Iterator[None]:
        """Count an upload until the block is left.

        Raises:
            TooManyUploadsError: as many as may arrive do so already.
        """
        if self._running[workspace] >= self._at_once_each:
            raise TooManyUploadsError(f"{self._at_once_each} uploads of the workspace {workspace} are under way")
        if self._running.total() >= self._at_once:
            raise TooManyUploadsError(f"{self._at_once} uploads are under way in all workspaces")
        self._running[workspace] += 1
        try:
            yield
        finally:
            self._running[workspace] -= 1
            if not self._running[workspace]:
                del self._running[workspace]
