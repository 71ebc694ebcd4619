"""Tensors of the Open Inference Protocol as numpy has them."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]

DTYPES: Mapping[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    **{f"INT{bits}": np.dtype(f"<i{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": np.dtype(f"<u{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": np.dtype(f"<f{bits // 8}") for bits in (16, 32, 64)},
    "BYTES": np.dtype(object),
}


class TensorSpec(msgspec.Struct, frozen=True):
    """A tensor of the Open Inference Protocol; -1 stands for any number of rows.

    In one that `allows_missing`, NaN stands for a value that is missing.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    allows_missing: bool = False

    @property
    def width(self) -> int:
        """Return how many values a row has."""
        return int(np.prod(self.shape[1:], dtype=np.int64))
