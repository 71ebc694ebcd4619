"""Which texts may be kept: `serving.capture.policy` for calls without tensors, and without its libraries."""

import hashlib
import json
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .json_text import written  # noqa: TID252 - the folder has another parent inside a foreign engine

_SAMPLE_SPACE = 1 << 32


class Policy:
    """What may be kept, as in `serving.capture.policy`; a text counts as one value."""

    def __init__(self, fields: Mapping[str, Any], hash_key: bytes, *, version: int) -> None:
        self.version = version
        self.prediction: bool = fields.get("prediction", True)
        self.retention_days: int = fields.get("retention_days", 7)
        self.inputs: list[str] | None = fields.get("inputs")
        self.outputs: list[str] | None = fields.get("outputs")
        self._rate: float = fields.get("sampling_rate", 1.0)
        self._hashed = frozenset(fields.get("hashed", ()))
        self._max_bytes: int = fields.get("max_bytes", 32 * 1024)
        self._max_values: int = fields.get("max_values", 4_096)
        self._key = hash_key

    def samples(self, prediction_id: str) -> bool:
        """Return whether a prediction belongs to the sample."""
        digest = hashlib.blake2b(prediction_id.encode(), digest_size=4).digest()
        return int.from_bytes(digest, "big") < self._rate * _SAMPLE_SPACE

    def kept(self, values: Mapping[str, Any], *, names: list[str] | None) -> dict[str, dict[str, Any]]:
        """Return the part of named values that the policy allows."""
        wanted = {name: value for name, value in values.items() if names is None or name in names}
        return {name: self._captured(name, value) for name, value in wanted.items()}

    def _captured(self, name: str, value: object) -> dict[str, Any]:
        text = value if isinstance(value, str) else written(value)
        captured: dict[str, Any] = {"datatype": "BYTES", "shape": [1]}
        if name in self._hashed:
            digest = hashlib.blake2b(written([text]).encode(), key=self._key, digest_size=16)
            return {**captured, "blake2b": digest.hexdigest()}
        content = text.encode("utf-8", "replace")
        limit = self._max_bytes if self._max_values else 0
        if len(content) <= limit:
            return {**captured, "data": [text]}
        return {**captured, "data": [content[:limit].decode("utf-8", "ignore")], "truncated": True}


class PolicyFile:
    """The file that the serving agent writes, read as in `serving.capture.policy_file`. Used by one thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Without the workspace's key, digests compare with nothing, rather than with everybody's guesses.
        self._own_key = secrets.token_bytes(32)
        self._seen: tuple[int, int] | None = None

    def read(self) -> Policy:
        """Return the initial policy; without one nothing may run, because it is unknown what may be kept."""
        self._seen = self._stamp()
        return self._decode()

    def replaced(self) -> Policy | None:
        """Return a policy that replaced the last one, or None; if it cannot be read, the last one stays in force."""
        try:
            stamp = self._stamp()
            if stamp == self._seen:
                return None
            self._seen = stamp
            return self._decode()
        except (OSError, ValueError, KeyError, TypeError) as error:
            sys.stderr.write(f"rollbook: the capture policy {self._path} cannot be read ({error!r})\n")
            return None

    def _stamp(self) -> tuple[int, int]:
        found = self._path.stat()
        return found.st_ino, found.st_mtime_ns

    def _decode(self) -> Policy:
        document = json.loads(self._path.read_bytes())
        key = bytes.fromhex(document.get("hash_key", "")) or self._own_key
        return Policy(document["policy"], key, version=document["version"])
