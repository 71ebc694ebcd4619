"""Converts a model's answer to the form that its signature promises, or says how they differ."""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from schemas.events.registry import Datatype, Signature, Tensor
from serving.engines.base import DTYPES, Array, Tensors
from serving.engines.errors import PredictionFailedError

_DATATYPES = {np.dtype(dtype).name: name for name, dtype in DTYPES.items() if name not in {"BF16", "BYTES"}}


def promised_form(signature: Signature, answers: Mapping[str, Array]) -> Tensors:
    """Return every output of the signature in its order, data type and rank.

    Raises:
        PredictionFailedError: an answer cannot be converted without loss.
    """
    outputs: Tensors = {}
    for spec in signature.outputs:
        difference = difference_from(spec, answers[spec.name])
        if difference is not None:
            raise PredictionFailedError(difference)
        outputs[spec.name] = _converted(spec, answers[spec.name])
    return outputs


def difference_from(spec: Tensor, array: Array) -> str | None:
    """Say how an answer differs from what is promised, or return None if it can be returned as promised."""
    if _shaped(spec, array) is None:
        return f"output {spec.name!r} has the shape {list(array.shape)}; the signature promises {list(spec.shape)}"
    if spec.datatype == "BYTES":
        return None
    dtype, held = np.dtype(DTYPES[spec.datatype]), _dtype_of(array)
    if not np.can_cast(held, dtype, "same_kind"):
        return f"output {spec.name!r} is {datatype_of(array)}; the signature promises {spec.datatype}"
    if dtype.kind in "iu" and held.itemsize > dtype.itemsize and array.size and not _within(array, dtype):
        return f"output {spec.name!r} has a value outside the range of {spec.datatype}"
    return None


def datatype_of(array: Array) -> Datatype:
    """Return the data type that represents an array exactly."""
    return cast("Datatype", _DATATYPES.get(_dtype_of(array).name, "BYTES"))


def _converted(spec: Tensor, array: Array) -> Array:
    shaped = _shaped(spec, array)
    assert shaped is not None
    if spec.datatype == "BYTES":
        return shaped.astype(str).astype(np.object_)
    return shaped.astype(DTYPES[spec.datatype], copy=False)


def _shaped(spec: Tensor, array: Array) -> Array | None:
    """Return the array in the promised rank; a last dimension of size 1 may be present or not."""
    if array.ndim == len(spec.shape) + 1 and array.shape[-1] == 1:
        array = array[..., 0]
    elif array.ndim + 1 == len(spec.shape) and spec.shape[-1] in {-1, 1}:
        array = array[..., np.newaxis]
    fits = array.ndim == len(spec.shape) and all(
        wanted in {-1, size} for size, wanted in zip(array.shape, spec.shape, strict=True)
    )
    return array if fits else None


def _dtype_of(array: Array) -> np.dtype[np.generic]:
    return np.array(array.tolist()).dtype if array.dtype == np.object_ else array.dtype


def _within(array: Array, dtype: np.dtype[Any]) -> bool:
    limits = np.iinfo(dtype)
    return bool(limits.min <= array.min() and array.max() <= limits.max)
