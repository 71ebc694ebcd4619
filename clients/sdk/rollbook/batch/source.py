"""The rows to score: a Parquet file, read in chunks that a restarted job finds again."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from rollbook.batch.errors import BadInput

CHUNK_ROWS = 8_192
_BLOCK_BYTES = 1 << 20


class Chunk(msgspec.Struct, frozen=True):
    """Some rows of one row group; `first_row` counts from the beginning of the file."""

    number: int
    group: int
    offset: int
    rows: int
    first_row: int


class Source:
    """A Parquet file that does not change while it is read.

    Raises:
        BadInput: it is none, or cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = pq.ParquetFile(path, memory_map=True)
        except (OSError, pa.ArrowException) as error:
            raise BadInput(f"{path} cannot be read as Parquet: {error}") from error
        self._group: tuple[int, tuple[str, ...], pa.Table] | None = None

    @property
    def rows(self) -> int:
        """Return how many rows there are."""
        return int(self._file.metadata.num_rows)

    @property
    def schema(self) -> pa.Schema:
        """Return the columns and their types."""
        return self._file.schema_arrow

    def digest(self) -> str:
        """Return the SHA-256 of the file's bytes."""
        digest = hashlib.sha256()
        with self.path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
        return f"sha256:{digest.hexdigest()}"

    def chunks(self) -> Iterator[Chunk]:
        """Yield the chunks; the same file always has the same."""
        number = first_row = 0
        for group in range(self._file.metadata.num_row_groups):
            in_group = self._file.metadata.row_group(group).num_rows
            for offset in range(0, in_group, CHUNK_ROWS):
                rows = min(CHUNK_ROWS, in_group - offset)
                yield Chunk(number, group, offset, rows, first_row + offset)
                number += 1
            first_row += in_group

    def read(self, chunk: Chunk, columns: tuple[str, ...]) -> pa.Table:
        """Return a chunk's rows; the row group that was read last is kept for the chunks that follow.

        Raises:
            BadInput: the file is damaged here.
        """
        if self._group is None or self._group[:2] != (chunk.group, columns):
            try:
                table = self._file.read_row_group(chunk.group, columns=list(columns))
            except (OSError, pa.ArrowException) as error:
                raise BadInput(f"{self.path} is damaged in row group {chunk.group}: {error}") from error
            self._group = (chunk.group, columns, table)
        return self._group[2].slice(chunk.offset, chunk.rows)
