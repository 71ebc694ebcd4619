"""The batches on disk: one folder each, with its record, its input and its results so far."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from schemas.documents.batches import BatchBase
from workers.batch_server import durable
from workers.batch_server.callers import Caller
from workers.batch_server.errors import not_found
from workers.batch_server.results import ERRORS, OUTPUT
from workers.batch_server.wire import BatchObject, Problem, Problems, RequestCounts, Status

_KNOWN, _INPUT = "batch.json", "input.jsonl"
ENDED: frozenset[Status] = frozenset({"completed", "failed", "cancelled", "expired"})


class BatchRecord(BatchBase, frozen=True, kw_only=True):
    """The record of a batch; times are Unix seconds. The log has the same in events, without lines and metadata.

    `is_announced` means that it is in the log; before that nobody can see it.
    """

    owner: str
    input_file_id: str
    input_sha256: str
    input_bytes: int
    window: str
    window_s: int
    metadata: dict[str, str] | None
    files_live_s: int
    output_file_id: str
    error_file_id: str
    created_at_s: int
    expires_at_s: int
    is_announced: bool = False
    status: Status = "validating"
    requests: int = 0
    completed: int = 0
    failed: int = 0
    not_asked: int = 0
    problems: tuple[Problem, ...] = ()
    times: dict[str, int] = msgspec.field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """Whether there is still work to do."""
        return self.status not in ENDED

    def moved(self, status: Status, *, now_s: int) -> "BatchRecord":
        """Return the batch with another status and the time of the change."""
        times = {**self.times, f"{status}_at": now_s}
        return msgspec.structs.replace(self, status=status, times=times)

    def shown(self, *, completed: int | None = None, failed: int | None = None) -> BatchObject:
        """Return the batch as its owner sees it, with current counts while it runs."""
        done = self.completed if completed is None else completed
        wrong = self.failed + self.not_asked if failed is None else failed
        has_ended = self.status in ENDED
        return BatchObject(
            id=self.id,
            endpoint=self.endpoint,
            errors=Problems(data=self.problems) if self.problems else None,
            input_file_id=self.input_file_id,
            completion_window=self.window,
            status=self.status,
            output_file_id=self.output_file_id if has_ended and done else None,
            error_file_id=self.error_file_id if has_ended and wrong else None,
            created_at=self.created_at_s,
            in_progress_at=self.times.get("in_progress_at"),
            expires_at=self.expires_at_s,
            finalizing_at=self.times.get("finalizing_at"),
            completed_at=self.times.get("completed_at"),
            failed_at=self.times.get("failed_at"),
            expired_at=self.times.get("expired_at"),
            cancelling_at=self.times.get("cancelling_at"),
            cancelled_at=self.times.get("cancelled_at"),
            request_counts=RequestCounts(total=self.requests, completed=done, failed=wrong),
            metadata=self.metadata,
        )


class BatchBook:
    """Stores the batches. What it writes is small, so it is called without a thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._batches: dict[str, BatchRecord] = {}

    def open(self) -> None:
        """Read what exists, and remove what an earlier process left half-done."""
        durable.sweep(self._folder)
        for path in self._folder.glob(f"*/{_KNOWN}"):
            record = msgspec.json.decode(path.read_bytes(), type=BatchRecord)
            self._batches[record.id] = record

    @property
    def _all(self) -> list[BatchRecord]:
        # A copy, because a thread removes batches meanwhile.
        return list(self._batches.values())

    def __getitem__(self, batch_id: str) -> BatchRecord:
        return self._batches[batch_id]

    def of(self, caller: Caller, batch_id: str) -> BatchRecord:
        """Return one of the caller's batches.

        Raises:
            ApiError: there is none, or it belongs to somebody else.
        """
        found = self._batches.get(batch_id)
        if found is None or not found.is_announced or not caller.owns(found.workspace, found.owner):
            raise not_found("batch", batch_id, param="batch_id")
        return found

    def all_of(self, caller: Caller) -> list[BatchRecord]:
        """Return the caller's batches, newest first."""
        owned = (one for one in self._all if one.is_announced and caller.owns(one.workspace, one.owner))
        return sorted(owned, key=lambda one: one.id, reverse=True)

    def open_ones(self) -> list[BatchRecord]:
        """Return those that have not ended, oldest first."""
        return sorted((one for one in self._all if one.is_open), key=lambda one: one.id)

    def statuses(self) -> Iterable[Status]:
        """Return the status of each."""
        return [one.status for one in self._all]

    def folder(self, batch_id: str) -> Path:
        """Return where a batch's files are."""
        return self._folder / batch_id

    def input(self, batch_id: str) -> Path:
        """Return where a batch's input is; it exists until the batch has ended."""
        return self._folder / batch_id / _INPUT

    def add(self, record: BatchRecord, *, content: Path) -> None:
        """Store a new batch. Its input stays until it has ended, whatever happens to the file that was given."""
        with durable.new_folder(self._folder / record.id) as incoming:
            (incoming / _INPUT).hardlink_to(content)
            durable.write_new(incoming / _KNOWN, msgspec.json.encode(record))
        self._batches[record.id] = record

    def keep(self, record: BatchRecord) -> None:
        """Replace a batch's record; it is on disk once this returns.

        Raises:
            OSError: it cannot be written; the previous record stays valid.
        """
        durable.replace(self._folder / record.id / _KNOWN, msgspec.json.encode(record))
        self._batches[record.id] = record

    def clear(self, batch_id: str) -> None:
        """Remove the input of a batch that has ended, and the names of its result files."""
        for name in (_INPUT, OUTPUT, ERRORS):
            (self._folder / batch_id / name).unlink(missing_ok=True)

    def forget(self, batch_id: str) -> None:
        """Remove everything about a batch."""
        if self._batches.pop(batch_id, None) is not None:
            durable.remove_folder(self._folder / batch_id)

    def outdated(self, *, ended_before_s: int, erased: frozenset[str]) -> list[str]:
        """Return those that ended before a time, and those whose owner was erased, once they have ended."""
        return [
            one.id
            for one in self._all
            if not one.is_open and (max(one.times.values(), default=0) < ended_before_s or one.owner in erased)
        ]
