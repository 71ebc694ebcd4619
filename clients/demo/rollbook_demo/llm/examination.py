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
    over = threading.Event()
    examiner = threading.Thread(target=_examine, args=(rollbook, passages, evaluation, over), daemon=True)
    examiner.start()
    try:
        yield
    finally:
        over.set()
        examiner.join(_ENDS_WITHIN_S)


def _examine(rollbook: Rollbook, passages: Sequence[str], evaluation: Evaluation, over: threading.Event) -> None:
    for begin in itertools.cycle(range(0, len(passages), _AT_A_TIME)):
        if over.is_set():
            return
        try:
            evaluate(rollbook, passages[begin : begin + _AT_A_TIME], evaluation)
        except RollbookError:
            # No instance may be there for a moment; the story itself says what goes wrong for good.
            over.wait(_PAUSE_S)
