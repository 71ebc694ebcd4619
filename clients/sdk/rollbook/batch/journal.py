"""What a job remembers across its own death: a folder beside the output, with one file for each chunk that is done.

A chunk is done once its part has its name: it is written elsewhere, synced and renamed. So each row is in one part at
most, and the output, which is made of the parts, has each row once.
"""

import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from rollbook.batch.errors import AnotherJob, BadInput, BatchError

_JOB = "job.json"


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What must be the same for a job to go on."""

    input_digest: str
    gateway: str
    endpoint: str
    columns: Mapping[str, tuple[str, ...]]
    kept: tuple[str, ...]


class Rejected(msgspec.Struct, frozen=True):
    """A row of the input that has no prediction, counted from 0, and why."""

    row: int
    reason: str


class Journal:
    """The parts of one output."""

    def __init__(self, output: Path, rejected: Path) -> None:
        self.output = output
        self.rejected = rejected
        self.folder = output.with_name(f"{output.name}.rollbook")
        self._finished = output.with_name(f"{output.name}.rollbook-finished")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs of this output away.

        Raises:
            BatchError: another run is at it.
            BadInput: there is no folder for the output.
        """
        lock = self.output.with_name(f".{self.output.name}.rollbook-lock")
        try:
            file = lock.open("wb")
        except OSError as error:
            raise BadInput(
                f"{self.output.parent} cannot hold the file ({error.strerror}); name another --output"
            ) from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BatchError(f"another run is writing {self.output}; wait for it, or name another") from error
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)

    def begin(self, job: Job, *, overwrite: bool) -> bool:
        """Begin a job, or go on with it; return whether it had begun before.

        Raises:
            AnotherJob: a journal of another job is here.
            BadInput: the output is here already.
        """
        shutil.rmtree(self._finished, ignore_errors=True)
        path = self.folder / _JOB
        if path.exists():
            self._compare(msgspec.json.decode(path.read_bytes(), type=Job), job)
            return True
        if self.output.exists() and not overwrite:
            raise BadInput(f"{self.output} already exists; name another --output, or pass --overwrite")
        self.folder.mkdir(exist_ok=True)
        _write(path, msgspec.json.encode(job))
        return False

    def _compare(self, known: Job, job: Job) -> None:
        for field in job.__struct_fields__:
            before, now = getattr(known, field), getattr(job, field)
            if before != now:
                raise AnotherJob(
                    f"{self.folder} is the journal of a job with {field.replace('_', ' ')} {before}, and this one has "
                    f"{now}; go on with that job, name another --output, or remove the folder"
                )

    def done(self) -> dict[int, tuple[int, int]]:
        """Return the chunks that are done, each with its rows that were scored and rejected."""
        found = {}
        for path in self.folder.glob("part-*.parquet"):
            counts = pq.read_schema(path).metadata
            found[int(path.stem.removeprefix("part-"))] = (int(counts[b"scored"]), int(counts[b"rejected"]))
        return found

    def keep(self, number: int, scored: pa.Table, rejected: Iterable[Rejected]) -> None:
        """Note a chunk's outcome; it is done once this returns.

        Raises:
            OSError: the disk does not take it. The chunk is not done then.
        """
        lines = [msgspec.json.encode(each) + b"\n" for each in rejected]
        if lines:
            _write(self._rejected(number), b"".join(lines))
        counts = {"scored": str(len(scored)), "rejected": str(len(lines))}
        sink = pa.BufferOutputStream()
        pq.write_table(scored.replace_schema_metadata(counts), sink)
        _write(self._part(number), sink.getvalue())

    def finish(self, chunks: int) -> None:
        """Make the output and the file of rejected rows of all parts, and forget the parts.

        Raises:
            OSError: the disk does not take it; nothing is lost, the same command tries again.
            BatchError: versions of the model answered with different types.
        """
        rejected = [path.read_bytes() for number in range(chunks) if (path := self._rejected(number)).exists()]
        if rejected:
            _write(self.rejected, b"".join(rejected))
        else:
            self.rejected.unlink(missing_ok=True)
        self._write_output(chunks)
        self.folder.rename(self._finished)
        shutil.rmtree(self._finished, ignore_errors=True)

    def _write_output(self, chunks: int) -> None:
        schemas = [pq.read_schema(self._part(number)).remove_metadata() for number in range(chunks)]
        # A chunk without any good row knows no outputs; each column it lacks is one that another has.
        try:
            schema = pa.unify_schemas(schemas)
        except pa.ArrowException as error:
            raise BatchError(f"versions of the model answered with different types: {error}") from error
        temporary = self.output.with_name(f".{self.output.name}.tmp")
        with temporary.open("wb") as file:
            with pq.ParquetWriter(file, schema) as writer:
                for number in range(chunks):
                    part = pq.read_table(self._part(number))
                    if len(part):
                        writer.write_table(_aligned(part, schema))
            file.flush()
            os.fsync(file.fileno())
        _rename(temporary, self.output)

    def _part(self, number: int) -> Path:
        return self.folder / f"part-{number:08d}.parquet"

    def _rejected(self, number: int) -> Path:
        return self.folder / f"rejected-{number:08d}.jsonl"


def _aligned(part: pa.Table, schema: pa.Schema) -> pa.Table:
    """Give a part the columns of all; what the version that answered here does not know is missing."""
    known = set(part.column_names)
    columns = [part[field.name] if field.name in known else pa.nulls(len(part), field.type) for field in schema]
    return pa.table(columns, schema=schema)


def _write(path: Path, content: bytes | pa.Buffer) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    _rename(temporary, path)


def _rename(temporary: Path, path: Path) -> None:
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
