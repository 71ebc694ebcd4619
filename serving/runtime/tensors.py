"""Converts tensors between the Open Inference Protocol's JSON and numpy; errors name the tensor."""

import math
from functools import cache
from types import UnionType
from typing import Any

import msgspec
import numpy as np

from schemas.events.registry import FLOATS, Tensor
from schemas.tensor_notation import option
from serving.engines.base import DTYPES, Array, rounded_to_bf16
from serving.runtime.errors import InferenceFailedError, InvalidRequestError

_ELEMENT_TYPES: dict[str, type] = {
    datatype: {"b": bool, "i": int, "u": int, "f": float, "O": str}[np.dtype(dtype).kind]
    for datatype, dtype in DTYPES.items()
}
_MAX_RANK = 32


class InputTensor(msgspec.Struct, frozen=True):
    """An input as sent in a request; `data` is read only once the data type is known."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: msgspec.Raw = msgspec.Raw()
    parameters: dict[str, Any] | None = None


class OutputTensor(msgspec.Struct, frozen=True, omit_defaults=True):
    """An output as sent in an answer; `data` is flattened row by row, or follows the JSON as bytes."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    parameters: dict[str, int] | None = None
    data: list[Any] | None = None


def check_fits(sent: InputTensor, expected: Tensor) -> None:
    """Compare an input's data type and shape with the signature, before its data is read.

    Raises:
        InvalidRequestError: the data type or shape differs.
    """
    if sent.datatype != expected.datatype:
        raise invalid(sent.name, f"has datatype {sent.datatype}, but the model takes {wanted_form(expected)}")
    fits = len(sent.shape) == len(expected.shape) and all(
        size > 0 and wanted in (-1, size) for size, wanted in zip(sent.shape, expected.shape, strict=True)
    )
    if not fits:
        raise invalid(sent.name, f"has shape {list(sent.shape)}, but the model takes {wanted_form(expected)}")


def wanted_form(tensor: Tensor) -> str:
    """Describe what a tensor must be: its data type and shape."""
    sizes = ", ".join("any" if size < 0 else str(size) for size in tensor.shape)
    return f"{tensor.datatype} [{sizes}]"


def finite(expected: Tensor, array: Array) -> Array:
    """Return the array in its data type.

    Raises:
        InvalidRequestError: a value is infinite, becomes so in that type, or is NaN where no value may be missing.
    """
    if expected.datatype == "BF16":
        array = rounded_to_bf16(array)
    if array.dtype.kind == "f" and not np.isfinite(array).all() and not _is_missing_only(expected, array):
        raise not_finite(expected.name, f" as {expected.datatype}")
    return array


def read_tensor(sent: InputTensor, expected: Tensor) -> Array:
    """Convert an input to an array of the signature's data type and the sent shape.

    Raises:
        InvalidRequestError: data type, shape or a value does not fit.
    """
    check_fits(sent, expected)
    return finite(expected, read_values(sent, _values(sent, expected)))


def write_tensor(spec: Tensor, array: Array) -> OutputTensor:
    """Convert an output to JSON.

    Raises:
        InferenceFailedError: the model returned NaN or an infinity, which JSON cannot represent.
    """
    check_answered(spec, array)
    return OutputTensor(name=spec.name, datatype=spec.datatype, shape=array.shape, data=array.ravel().tolist())


def check_answered(spec: Tensor, array: Array) -> None:
    """Check an output before it is written.

    Raises:
        InferenceFailedError: the model returned NaN or an infinity, which a caller must not take for a number.
    """
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InferenceFailedError(f"the model returned a value that is not finite in output tensor {spec.name!r}")


def read_values(sent: InputTensor, values: list[Any]) -> Array:
    """Reshape a list of values to the tensor's shape.

    Raises:
        InvalidRequestError: a value is out of range, or there are too many or too few of them.
    """
    try:
        with np.errstate(over="ignore"):
            array = np.array(values, dtype=DTYPES[sent.datatype])
    except OverflowError as error:
        raise invalid(sent.name, f"has a value outside the range of {_range(sent.datatype)}") from error
    except ValueError as error:
        raise invalid(sent.name, "has rows of different lengths") from error
    if array.ndim > 1 and array.shape != sent.shape:
        raise invalid(sent.name, f"has data of shape {list(array.shape)}, but declares the shape {list(sent.shape)}")
    if array.size != math.prod(sent.shape):
        needed = math.prod(sent.shape)
        raise invalid(sent.name, f"has {array.size} values, but its shape {list(sent.shape)} needs {needed}")
    return array.reshape(sent.shape)


def not_finite(name: str, form: str = "") -> InvalidRequestError:
    """Say that a tensor contains NaN, an infinity, or a value that becomes one."""
    return invalid(name, f"has a value that is not finite{form}; send finite numbers only")


def invalid(name: str, fault: str) -> InvalidRequestError:
    """Name the faulty tensor."""
    return InvalidRequestError(f"input tensor {name!r} {fault}")


def _is_missing_only(expected: Tensor, array: Array) -> bool:
    return expected.allows_missing and not np.isinf(array).any()


def _range(datatype: str) -> str:
    dtype = np.dtype(DTYPES[datatype])
    if dtype.kind not in "iu":
        return datatype
    limits = np.iinfo(dtype)
    return f"{datatype}, {limits.min} to {limits.max}"


def _values(sent: InputTensor, expected: Tensor) -> list[Any]:
    raw = bytes(sent.data)
    if not raw:
        raise invalid(sent.name, "has no data; add its values as `data`")
    element: type | UnionType = _ELEMENT_TYPES[sent.datatype]
    if expected.allows_missing:
        element |= None
    try:
        values: list[Any] = _decoder(element, _depth(raw)).decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        remedy = _missing_values_hint(expected) if "got `null`" in str(error) else ""
        raise invalid(sent.name, f"has data that does not fit {sent.datatype}: {error}{remedy}") from error
    return values


def _missing_values_hint(expected: Tensor) -> str:
    if expected.allows_missing or expected.datatype not in FLOATS:
        return ""
    allowing = msgspec.structs.replace(expected, allows_missing=True)
    return f"; where values may be missing, register the input with :missing ({option('--input', allowing)})"


def _depth(raw: bytes) -> int:
    """Count how deeply the data is nested, by its opening brackets."""
    depth = 0
    for byte in raw:
        if byte == ord("["):
            depth += 1
        elif byte not in b" \t\r\n":
            break
    return min(max(depth, 1), _MAX_RANK)


@cache
def _decoder(element: type | UnionType, depth: int) -> msgspec.json.Decoder[Any]:
    shape: Any = element
    for _ in range(depth):
        shape = list[shape]
    return msgspec.json.Decoder(shape)
