"""Joins requests that wait at the same time into one call of the engine, and splits its answer again. Pure."""

from collections.abc import Sequence

import numpy as np

from schemas.events.registry import Signature
from serving.engines.base import Tensors

FREE = -1


def is_batchable(signature: Signature) -> bool:
    """Whether the first dimension of every input and output is free, so that it counts rows."""
    tensors = (*signature.inputs, *signature.outputs)
    return all(tensor.shape and tensor.shape[0] == FREE for tensor in tensors)


def rows_of(inputs: Tensors) -> int | None:
    """Return how many rows all inputs have, or None if they differ, so that the request is sent alone."""
    counts = {array.shape[0] if array.ndim else 0 for array in inputs.values()}
    return counts.pop() if len(counts) == 1 else None


def fits_together(first: Tensors, other: Tensors) -> bool:
    """Whether two requests have the same inputs except for the number of rows."""
    return first.keys() == other.keys() and all(
        array.shape[1:] == other[name].shape[1:] and array.dtype == other[name].dtype for name, array in first.items()
    )


def joined(requests: Sequence[Tensors]) -> Tensors:
    """Stack the rows of requests that fit together."""
    return {name: np.concatenate([request[name] for request in requests]) for name in requests[0]}


def split_rows(outputs: Tensors, rows: Sequence[int]) -> list[Tensors] | None:
    """Give each request its rows of the answer; None if the answer does not have the requested number of rows."""
    # A model's answer may not have the promised shape: a single value has no rows at all.
    if any(array.shape[:1] != (sum(rows),) for array in outputs.values()):
        return None
    ends = np.cumsum(rows)
    return [
        {name: array[end - count : end] for name, array in outputs.items()}
        for end, count in zip(ends, rows, strict=True)
    ]


class RowLimit:
    """How many rows one call may have so that it stays within a time limit.

    The number is halved when a call took longer, and doubled when a full call took less than half of the limit.
    """

    def __init__(self, *, max_rows: int, bound_ms: float) -> None:
        self._max_rows = max_rows
        self._bound_ms = bound_ms
        self.rows = max_rows

    def learn(self, rows: int, *, took_ms: float) -> None:
        """Adapt to the duration of a call."""
        if took_ms > self._bound_ms and rows > 1:
            self.rows = max(1, min(self.rows, rows) // 2)
        elif took_ms < self._bound_ms / 2 and rows * 2 > self.rows:
            self.rows = min(self._max_rows, self.rows * 2)
