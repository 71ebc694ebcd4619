"""Tensors between the JSON of the Open Inference Protocol and numpy; a fault names the tensor."""

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
    """An output as sent in an answer; `data` is flattened, row by row, or follows as bytes after the JSON."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    parameters: dict[str, int] | None = None
    data: list[Any] | None = None


def check_fits(sent: InputTensor, expected: Tensor) -> None:
    """Compare what an input says of itself with the signature, before anything of its data is read.

    Raises:
        InvalidRequestError: data type or shape differs.
    """
    if sent.datatype != expected.datatype:
        raise invalid(sent.name, f"has datatype {sent.datatype}, the model takes {wanted_form(expected)}")
    fits = len(sent.shape) == len(expected.shape) and all(
        size > 0 and wanted in (-1, size) for size, wanted in zip(sent.shape, expected.shape, strict=True)
    )
    if not fits:
        raise invalid(sent.name, f"has shape {list(sent.shape)}, the model takes {wanted_form(expected)}")


def wanted_form(tensor: Tensor) -> str:
    """Say what a tensor must be: its data type and shape."""
    sizes = ", ".join("any" if size < 0 else str(size) for size in tensor.shape)
    return f"{tensor.datatype} [{sizes}]"


def finite(expected: Tensor, array: Array) -> Array:
    """Return the array as its data type holds it.

    Raises:
        InvalidRequestError: a value is infinite or becomes so in that type, or is NaN and may not be missing.
    """
    if expected.datatype == "BF16":
        array = rounded_to_bf16(array)
    if array.dtype.kind == "f" and not np.isfinite(array).all() and not _is_missing_only(expected, array):
        raise not_finite(expected.name, f" as {expected.datatype}")
    return array


def read_tensor(sent: InputTensor, expected: Tensor) -> Array:
    """Turn an input into an array of the signature's data type and of the shape that was sent.

    Raises:
        InvalidRequestError: data type, shape or a value does not fit.
    """
    check_fits(sent, expected)
    return finite(expected, read_values(sent, _values(sent, expected)))


def write_tensor(spec: Tensor, array: Array) -> OutputTensor:
    """Turn an output into its JSON form.

    Raises:
        InferenceFailedError: the model answered NaN or an infinity, which JSON cannot carry.
    """
    check_answered(spec, array)
    return OutputTensor(name=spec.name, datatype=spec.datatype, shape=array.shape, data=array.ravel().tolist())


def check_answered(spec: Tensor, array: Array) -> None:
    """Look at an output before it is written.

    Raises:
        InferenceFailedError: the model answered NaN or an infinity; a caller must not take it for a number.
    """
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InferenceFailedError(f"the model returned a value that is not finite in output tensor {spec.name!r}")


def read_values(sent: InputTensor, values: list[Any]) -> Array:
    """Shape a list of values as the tensor says.

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
        raise invalid(sent.name, f"has data of shape {list(array.shape)} and says that it is {list(sent.shape)}")
    if array.size != math.prod(sent.shape):
        needed = math.prod(sent.shape)
        raise invalid(sent.name, f"has {array.size} values, its shape {list(sent.shape)} needs {needed}")
    return array.reshape(sent.shape)


def not_finite(name: str, form: str = "") -> InvalidRequestError:
    """Say that a tensor holds NaN, an infinity or what becomes one."""
    return invalid(name, f"has a value that is not finite{form}; send finite numbers only")


def invalid(name: str, fault: str) -> InvalidRequestError:
    """Name the tensor that is at fault."""
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
    """Count how deep the data is nested, by its opening brackets."""
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
