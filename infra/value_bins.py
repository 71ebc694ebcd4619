"""Bins of numbers, the same in every process and release: the first bits of a number's IEEE-754 form.

A bin is a sign, an exponent and 10 bits of the fraction, so there are 1,024 bins an octave, and a bin is at most 0.1 %
wide. The order of bins is that of the numbers in them. Bin 0 holds both zeros and what is closer to them than 2.2e-311.

Counts of bins are whole numbers that are added, so parts give the same result in any order and grouping, to the bit. A
t-digest or a KLL sketch would be smaller for wide distributions, but what they keep depends on the order of their parts
(KLL also draws lots), so that nobody could compute an alert again from the log and get the same bytes.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

FRACTION_BITS = 10
_DROPPED_BITS = 52 - FRACTION_BITS
_MAGNITUDE = np.int64(2**63 - 1)


def bin_of(values: NDArray[np.float64]) -> NDArray[np.int32]:
    """Return the bin of each number. NaN has none: leave it out, as whoever counts infinities apart leaves them out."""
    bits = np.ascontiguousarray(values, dtype=np.float64).view(np.int64)
    magnitude = ((bits & _MAGNITUDE) >> _DROPPED_BITS).astype(np.int32)
    return np.where(bits < 0, -magnitude, magnitude)


def edges_of(bins: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the smallest and the largest number of each bin."""
    keys = np.asarray(bins, dtype=np.int64)
    inner = np.abs(keys) << _DROPPED_BITS
    near, far = inner.view(np.float64), (inner | np.int64(2**_DROPPED_BITS - 1)).view(np.float64)
    return np.where(keys > 0, near, -far), np.where(keys < 0, -near, far)
