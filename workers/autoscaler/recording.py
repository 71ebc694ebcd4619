"""Records looks as JSON lines, so that a day can be replayed with another policy; bounded, dropping the oldest."""

from pathlib import Path

import msgspec

from schemas.scaling import LoadSample

_FILES = 8


class RecordedLook(msgspec.Struct, frozen=True, kw_only=True):
    """A look at a deployment."""

    endpoint_id: str
    deployment_id: str
    sample: LoadSample


class Recording:
    """Appends to the newest of a few files; when it is full, the oldest is deleted."""

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self._folder = folder
        self._file_bytes = max_bytes // _FILES

    def append(self, looks: list[RecordedLook]) -> None:
        """Store looks.

        Raises:
            OSError: they cannot be written.
        """
        if not self._file_bytes or not looks:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        newest = self._folder / "looks-0.jsonl"
        if newest.exists() and newest.stat().st_size >= self._file_bytes:
            for number in range(_FILES - 2, -1, -1):
                older = self._folder / f"looks-{number}.jsonl"
                if older.exists():
                    older.replace(self._folder / f"looks-{number + 1}.jsonl")
        with newest.open("ab") as file:
            file.write(b"".join(msgspec.json.encode(look) + b"\n" for look in looks))
