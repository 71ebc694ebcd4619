"""How much of its space a workspace uses: kept files and those on their way in, counted as they come."""

from threading import Lock

from control_plane.artifacts.errors import ArtifactQuotaExceededError


class Space:
    """Bytes of one workspace, 0 of `quota_bytes` for no limit. Safe from any thread.

    Uploads claim bytes as they arrive, so that several at once cannot exceed the quota together.
    """

    def __init__(self, *, workspace: str, quota_bytes: int) -> None:
        self._workspace = workspace
        self._quota_bytes = quota_bytes
        self._used_bytes = 0
        self._lock = Lock()

    @property
    def used_bytes(self) -> int:
        """What is kept and claimed now."""
        return self._used_bytes

    def set(self, used_bytes: int) -> None:
        """Begin with what is kept."""
        with self._lock:
            self._used_bytes = used_bytes

    def require(self, size_bytes: int) -> None:
        """Refuse a file that does not fit, before any of it arrives.

        Raises:
            ArtifactQuotaExceededError: it does not.
        """
        with self._lock:
            self._require(size_bytes)

    def claim(self, size_bytes: int) -> None:
        """Take bytes.

        Raises:
            ArtifactQuotaExceededError: the workspace has not so many left.
        """
        with self._lock:
            self._require(size_bytes)
            self._used_bytes += size_bytes

    def give_back(self, size_bytes: int) -> None:
        """Return bytes that were claimed, or are not kept any more; a negative number takes them without asking."""
        with self._lock:
            self._used_bytes -= size_bytes

    def _require(self, size_bytes: int) -> None:
        if size_bytes > 0 and self._quota_bytes and self._used_bytes + size_bytes > self._quota_bytes:
            raise ArtifactQuotaExceededError(
                workspace=self._workspace, used_bytes=self._used_bytes, quota_bytes=self._quota_bytes
            )
