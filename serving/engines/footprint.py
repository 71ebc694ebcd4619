"""How much memory a model will take, estimated from its file alone, on the high side."""

import zipfile
from pathlib import Path

from schemas.events.registry import ArtifactFormat

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
        with zipfile.ZipFile(path) as archive:
            return max(size, sum(member.file_size for member in archive.infolist()))
    except zipfile.BadZipFile:
        # The engine rejects it with its own message.
        return size
