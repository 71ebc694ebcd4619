"""What an earlier release left behind, unpacked; `tests/golden/at_3262325/README.md` says what it is."""

import tarfile
from pathlib import Path

KEPT = Path(__file__).parents[1] / "golden" / "at_3262325"


def unpack_reader(folder: Path) -> Path:
    """Unpack the code that reads the log, and return where it is."""
    return _unpack("reader", folder)


def unpack_data_directory(folder: Path) -> Path:
    """Unpack a data directory, and return it."""
    return _unpack("data_directory", folder) / "data"


def _unpack(name: str, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(KEPT / f"{name}.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder
