"""The capture policy in force: a file that the serving agent writes and every engine of the endpoint follows."""

from pathlib import Path

import msgspec
import structlog

from infra.data_directory import write_atomically
from infra.errors import CannotStartError
from schemas.events.endpoints import CapturePolicy

_log = structlog.get_logger(__name__)


class PolicyInForce(msgspec.Struct, frozen=True, kw_only=True):
    """A policy, and the stream version of the event that set it; 0 is the default policy, which no event set.

    `hash_key` is the secret of the workspace, in hex, that digests are made with; empty where none was handed over.
    """

    version: int = 0
    policy: CapturePolicy = CapturePolicy()
    workspace: str = ""
    hash_key: str = ""

    def __repr__(self) -> str:
        return f"PolicyInForce(version={self.version}, policy={self.policy}, workspace={self.workspace!r})"


def write_policy(path: Path, in_force: PolicyInForce) -> None:
    """Replace the file atomically, so that no engine ever reads half of it.

    Raises:
        OSError: it cannot be written.
    """
    write_atomically(path, msgspec.json.encode(in_force))


class PolicyFile:
    """Reads the file, and again whenever it was replaced. Used by one thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None

    def read(self) -> PolicyInForce:
        """Return the initial policy.

        Raises:
            CannotStartError: it cannot be read. It is then unknown what may be kept, so nothing may run.
        """
        try:
            self._seen = self._stamp()
            return _decode(self._path)
        except (OSError, msgspec.DecodeError) as error:
            raise CannotStartError(
                f"{self._path} does not hold a capture policy ({error}); name the file that the serving agent writes"
            ) from error

    def replaced(self) -> PolicyInForce | None:
        """Return a policy that replaced the last one, or None; if it cannot be read, the last one stays in force."""
        try:
            stamp = self._stamp()
            if stamp == self._seen:
                return None
            self._seen = stamp
            return _decode(self._path)
        except (OSError, msgspec.DecodeError) as error:
            _log.error("capture_policy_unreadable", path=str(self._path), reason=str(error))
            return None

    def _stamp(self) -> tuple[int, int]:
        found = self._path.stat()
        return found.st_ino, found.st_mtime_ns


def _decode(path: Path) -> PolicyInForce:
    return msgspec.json.decode(path.read_bytes(), type=PolicyInForce)
