"""The file of a store that is restored: it gets its name when it is complete, so a restore may end at any moment."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from control_plane.event_store.log_file import LogFile, open_log_file
from control_plane.event_store.recorder import PositionRecorder
from control_plane.event_store.sqlite_file import only_writer, open_recorder, translate_start_errors
from control_plane.log.ports import LoggedEvent
from infra.errors import CannotStartError


class RestoredFile:
    """Implements the audit's `UnfinishedStore`."""

    def __init__(self, path: Path, recorder: PositionRecorder, *, close: ExitStack) -> None:
        self._path = path
        self._recorder = recorder
        self._close = close

    def append(self, events: Sequence[LoggedEvent]) -> None:
        with self._recorder.datastore.transaction(commit=True) as cursor:
            self._recorder.insert_at(cursor, events)

    @contextmanager
    def written(self) -> Iterator[LogFile]:
        self._close.close()
        with open_log_file(self._path) as log:
            yield log


@contextmanager
def restored_file(path: Path) -> Iterator[RestoredFile]:
    """Write a file beside the path, and move it there if the block is left without an error.

    What an earlier restore left unfinished is removed.

    Raises:
        CannotStartError: there is a store already, another process holds it, or the disk takes no file.
    """
    with translate_start_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with only_writer(path):
            if path.exists():
                raise CannotStartError(f"{path} already exists; move it away to restore it from the topic")
            unfinished = path.with_name(f"{path.name}.restoring")
            unfinished.unlink(missing_ok=True)
            _remove_companions(unfinished)
            with ExitStack() as opened:
                recorder = opened.enter_context(open_recorder(unfinished))
                yield RestoredFile(unfinished, recorder, close=opened)
            _remove_companions(unfinished)
            unfinished.rename(path)


def _remove_companions(path: Path) -> None:
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
