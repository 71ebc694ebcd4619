"""Walks over everything that a loaded scikit-learn model contains."""

from collections.abc import Iterator
from types import NoneType
from typing import Any

import numpy as np

_PLAIN = (str, bytes, int, float, type, NoneType, np.generic)


def parts_of(model: object) -> Iterator[tuple[object, Any]]:
    """Yield every object in the model once, with the nearest estimator above it."""
    seen: set[int] = set()
    waiting: list[tuple[object, object]] = [(None, model)]
    while waiting:
        owner, part = waiting.pop()
        if id(part) in seen or isinstance(part, _PLAIN):
            continue
        seen.add(id(part))
        yield owner, part
        below = part if hasattr(part, "n_features_in_") else owner
        waiting.extend((below, each) for each in _held_by(part))


def _held_by(part: object) -> list[object]:
    match part:
        case dict():
            return [*part.keys(), *part.values()]
        case list() | tuple() | set() | frozenset():
            return list(part)
        case np.ndarray():
            return part.ravel().tolist() if part.dtype.hasobject else []
        case _:
            return list(vars(part).values()) if hasattr(part, "__dict__") else []
