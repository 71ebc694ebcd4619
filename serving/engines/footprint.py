"""How much memory a model will take, from its file alone and rather too much than too little."""

import zipfile
from pathlib import Path

from schemas.events.registry import ArtifactFormat

_BASE_BYTES = 48 * 1024**2
"""The library of the engine, as far as it isn't in memory yet."""
_COPIES = 3
"""The file as it is read, the model made of it, and what a call works with."""


def estimated_bytes(artifact_format: ArtifactFormat, path: Path) -> int:
    """Estimate what loading a file takes; of one that cannot be read, its size."""
    return _BASE_BYTES + _COPIES * _unpacked_bytes(artifact_format, path)


def _unpacked_bytes(artifact_format: ArtifactFormat, path: Path) -> int:
    size = path.stat().st_size
    if artifact_format != "skops":
        return size
    try:
        with zipfile.ZipFile(path) as archive:
            return max(size, sum(member.file_size for member in archive.infolist()))
    except zipfile.BadZipFile:
        # The engine refuses it in words of its own.
        return size
