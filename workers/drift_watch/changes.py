"""Where a change began, and how large it has been since.

The start with the highest likelihood is that of Page's recursion C_w = max(0, C_{w-1}) + log L_w (Page 1954,
"Continuous inspection schemes"): wherever C was not positive before, a change that began earlier is less likely than
one that begins now.
"""

import msgspec
import numpy as np
import numpy.typing as npt

from workers.drift_watch.evidence import Evidence
from workers.drift_watch.scores import Floats


class Changes(msgspec.Struct, frozen=True, eq=False):
    """Of each score, direction and effect the most likely change so far; all of shape (scores, directions, effects).

    `rows` and `sums` count rows and add up deviations from the reference since the start; `cost` is the sum of
    rows·(rows per independent row), so that sigma²·cost/rows² is the variance of their mean.
    """

    likelihood: Floats
    started_at_ms: npt.NDArray[np.int64]
    rows: Floats
    sums: Floats
    cost: Floats


class Seen(msgspec.Struct, frozen=True, eq=False):
    """Of a window each score's deviation from the reference, rows, and rows per independent one, shape (scores,)."""

    started_at_ms: int
    deviations: Floats
    rows: Floats
    rows_per_independent: Floats


def no_changes(shape: tuple[int, ...]) -> Changes:
    """Return the state before any window."""
    zeros = np.zeros(shape)
    return Changes(zeros, np.zeros(shape, dtype=np.int64), zeros, zeros, zeros)


def followed(changes: Changes, log_ratios: Evidence, seen: Seen) -> Changes:
    """Continue each change with a window, or begin another in it."""
    is_new = changes.likelihood <= 0
    has_rows = np.broadcast_to((seen.rows > 0)[:, None, None], is_new.shape)
    begins = is_new & has_rows

    def added(before: Floats, now: Floats) -> Floats:
        return np.where(begins, 0.0, before) + now[:, None, None]

    return Changes(
        np.where(has_rows, np.maximum(changes.likelihood, 0.0) + log_ratios, changes.likelihood),
        np.where(begins, seen.started_at_ms, changes.started_at_ms),
        added(changes.rows, seen.rows),
        added(changes.sums, seen.rows * seen.deviations),
        added(changes.cost, seen.rows * seen.rows_per_independent),
    )
