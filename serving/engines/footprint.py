"""How much memory a model will take, estimated from its file alone, on the high side."""

from pathlib import Path

from schemas.events.registry import ArtifactFormat
from schemas.model_archive import UNREADABLE, opened_archive

_BASE_BYTES = 48 * 1024**2
"""The engine's library, if it is not in memory yet."""
_COPIES = 3
"""The file while it is read, the model built from it, and the working memory of a call."""


def estimated_bytes(artifact_format: ArtifactFormat, path: Path) -> int:
    """Estimate the memory that loading a file takes; its size if it cannot be read."""
    return _BASE_BYTES + _COPIES * _unpacked_bytes(artifact_format, path)


def _unpacked_bytes(artifact_format: ArtifactFormat, path: Path) -> int:
    size = path.stat().st_size
    if artifact_format != "skops":
        return size
    try:
        with path.open("rb") as file, opened_archive(file) as archive:
            return max(size, archive.unpacked_bytes)
    except UNREADABLE:
        # The engine rejects it with its own message.
        return size
