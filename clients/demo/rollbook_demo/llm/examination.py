"""An evaluation run beside a rollout: who has traffic reads held-out text, again and again, until it is over."""

import itertools
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rollbook import Rollbook, RollbookError
from rollbook.evaluation import Evaluation, evaluate

_AT_A_TIME = 10
_PAUSE_S = 1.0
_ENDS_WITHIN_S = 120.0


@contextmanager
def examined(rollbook: Rollbook, passages: Sequence[str], evaluation: Evaluation) -> Iterator[None]:
    """Have the endpoint evaluated meanwhile."""
    examiner = _Examiner(rollbook, passages, evaluation)
    examiner.start()
    try:
        yield
    finally:
        examiner.over.set()
        examiner.join(_ENDS_WITHIN_S)
    if examiner.bug is not None:
        raise examiner.bug


class _Examiner(threading.Thread):
    def __init__(self, rollbook: Rollbook, passages: Sequence[str], evaluation: Evaluation) -> None:
        super().__init__(daemon=True)
        self._rollbook, self._passages, self._evaluation = rollbook, passages, evaluation
        self.over = threading.Event()
        self.bug: Exception | None = None

    def run(self) -> None:
        try:
            self._examine()
        except Exception as error:  # noqa: BLE001 - told by the thread that waits
            self.bug = error

    def _examine(self) -> None:
        for begin in itertools.cycle(range(0, len(self._passages), _AT_A_TIME)):
            if self.over.is_set():
                return
            try:
                evaluate(self._rollbook, self._passages[begin : begin + _AT_A_TIME], self._evaluation)
            except RollbookError:
                # No instance may be there for a moment; the story itself says what goes wrong for good.
                self.over.wait(_PAUSE_S)
