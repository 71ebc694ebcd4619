"""Numbers that stand for a wide row, such as an embedding or an image: random projections, the norm and the mean.

A change of the distribution of rows changes that of nearly every direction, so 16 directions show what thousands of
columns would, and a pixel alone says little. The directions are part of what is stored: windows of different processes
and releases are compared, so they never change.
"""

import hashlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

PROJECTIONS = 16
NAMES = (*(f"projection[{number}]" for number in range(PROJECTIONS)), "norm", "mean")

_SEED = b"rollbook feature projections 1"
_REMEMBERED = 32


def stand_ins(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a row of `NAMES` for each row; one with NaN gives NaN, else one with an infinity gives infinities.

    Products and sums are numpy's own, because those of a BLAS library differ between processors in their last bits.
    """
    width = rows.shape[1]
    found = np.empty((len(rows), len(NAMES)))
    scratch = np.empty_like(rows)
    with np.errstate(over="ignore", invalid="ignore"):
        for number, signs in enumerate(signs_of(width)):
            found[:, number] = np.multiply(rows, signs, out=scratch).sum(axis=1) / np.sqrt(width)
        found[:, PROJECTIONS] = np.sqrt(np.multiply(rows, rows, out=scratch).sum(axis=1))
        found[:, PROJECTIONS + 1] = rows.sum(axis=1) / width
    found[np.isinf(rows).any(axis=1)] = np.inf
    found[np.isnan(rows).any(axis=1)] = np.nan
    return found


@lru_cache(maxsize=_REMEMBERED)
def signs_of(width: int) -> NDArray[np.float64]:
    """Return a row of signs for each projection. They are bits of a hash: 16 for a column, then 16 for the next."""
    stream = np.frombuffer(hashlib.shake_256(_SEED).digest(PROJECTIONS // 8 * width), dtype=np.uint8)
    bits = np.unpackbits(stream.reshape(width, -1), axis=1)
    return np.ascontiguousarray(1.0 - 2.0 * bits.T)
