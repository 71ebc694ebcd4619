"""Checks trees that are stored as arrays of node numbers, which compiled code follows without bounds checks."""

from typing import Any

import numpy as np
import numpy.typing as npt

from serving.engines.errors import MalformedArtifactError

Integers = npt.NDArray[np.int64]


def integers(values: Any, *, what: str, size: int | None = None) -> Integers:  # noqa: ANN401 - whatever a file holds
    """Return a list of integers.

    Raises:
        MalformedArtifactError: it is not one, or has a different size.
    """
    return _numbers(values, kinds="iu", size=size, what=what).astype(np.int64)


def check_numbers(values: Any, *, what: str, size: int) -> None:  # noqa: ANN401 - whatever a file holds
    """Reject what is not a list of numbers of the given size."""
    _numbers(values, kinds="fiu", size=size, what=what)


def _numbers(values: Any, *, kinds: str, size: int | None, what: str) -> npt.NDArray[Any]:  # noqa: ANN401 - the same
    try:
        array = np.asarray(values if len(values) else np.zeros(0, np.int64))
    except (TypeError, ValueError, OverflowError) as error:
        raise MalformedArtifactError(f"{what} is not a list of numbers") from error
    if array.ndim != 1 or array.dtype.kind not in kinds or (size is not None and len(array) != size):
        raise MalformedArtifactError(
            f"{what} is not a list of {'whole numbers' if size is None else f'{size} numbers'}"
        )
    return array


def check_within(values: Integers, stop: int, *, what: str, start: int = 0) -> None:
    """Reject an index that is out of range."""
    if values.size and (values.min() < start or values.max() >= stop):
        raise MalformedArtifactError(f"{what} has a number outside {start} to {stop - 1}")


def check_descent(children: Integers, nodes: int, *, what: str) -> None:
    """Reject children that are not nodes, or that two nodes share: then every path from the root, node 0, ends."""
    check_within(children, nodes, start=1, what=what)
    if len(np.unique(children)) != len(children):
        raise MalformedArtifactError(f"{what} has a node twice, so it is not a tree")


def check_bounds(values: Integers, stop: int, *, what: str) -> None:
    """Reject segment bounds that do not increase from 0 to the end of what they divide."""
    is_whole = values.size and values[0] == 0 and values[-1] == stop
    if not is_whole or (np.diff(values) < 0).any():
        raise MalformedArtifactError(f"{what} does not rise from 0 to {stop}")
