"""Tensors between the JSON of the Open Inference Protocol and numpy; a fault is told with the tensor's name."""

import math
from functools import cache
from typing import Any

import msgspec
import numpy as np

from schemas.events.registry import Tensor
from serving.engines.base import DTYPES, Array
from serving.runtime.errors import InferenceFailedError, InvalidRequestError

_ELEMENT_TYPES: dict[str, type] = {
    datatype: {"b": bool, "i": int, "u": int, "f": float, "O": str}[np.dtype(dtype).kind]
    for datatype, dtype in DTYPES.items()
}
_MAX_RANK = 32


class InputTensor(msgspec.Struct, frozen=True):
    """An input as it stands in a request; `data` is read only once the data type is known."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: msgspec.Raw = msgspec.Raw()
    parameters: dict[str, Any] | None = None


class OutputTensor(msgspec.Struct, frozen=True):
    """An output as it stands in an answer; `data` is flattened, row by row."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: list[Any]


def read_tensor(sent: InputTensor, expected: Tensor) -> Array:
    """Turn an input into an array of the signature's data type and of the shape that was sent.

    Raises:
        InvalidRequestError: data type, shape or a value does not fit.
    """
    if sent.datatype != expected.datatype:
        raise _invalid(sent, f"has datatype {sent.datatype}, the model takes {expected.datatype}")
    _check_shape(sent, expected.shape)
    array = _array(sent, _values(sent))
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise _invalid(sent, f"has a value that is not finite as {sent.datatype}")
    return array


def write_tensor(spec: Tensor, array: Array) -> OutputTensor:
    """Turn an output into its JSON form.

    Raises:
        InferenceFailedError: the model answered NaN or an infinity, which JSON can't carry.
    """
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InferenceFailedError(f"the model answered a value that is not finite in output tensor {spec.name!r}")
    return OutputTensor(name=spec.name, datatype=spec.datatype, shape=array.shape, data=array.ravel().tolist())


def _check_shape(sent: InputTensor, expected: tuple[int, ...]) -> None:
    fits = len(sent.shape) == len(expected) and all(
        size > 0 and wanted in (-1, size) for size, wanted in zip(sent.shape, expected, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if size < 0 else str(size) for size in expected)
        raise _invalid(sent, f"has shape {list(sent.shape)}, the model takes [{wanted}]")


def _values(sent: InputTensor) -> list[Any]:
    raw = bytes(sent.data)
    if not raw:
        hint = " as JSON; the binary tensor extension is not supported" if sent.parameters else ""
        raise _invalid(sent, f"has no data{hint}")
    try:
        values: list[Any] = _decoder(_ELEMENT_TYPES[sent.datatype], _depth(raw)).decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _invalid(sent, f"has data that does not fit {sent.datatype}: {error}") from error
    return values


def _array(sent: InputTensor, values: list[Any]) -> Array:
    try:
        with np.errstate(over="ignore"):
            array = np.array(values, dtype=DTYPES[sent.datatype])
    except OverflowError as error:
        raise _invalid(sent, f"has a value outside the range of {sent.datatype}") from error
    except ValueError as error:
        raise _invalid(sent, "has rows of different lengths") from error
    if array.ndim > 1 and array.shape != sent.shape:
        raise _invalid(sent, f"has data of shape {list(array.shape)} and says that it is {list(sent.shape)}")
    if array.size != math.prod(sent.shape):
        raise _invalid(sent, f"has {array.size} values, its shape {list(sent.shape)} needs {math.prod(sent.shape)}")
    return array.reshape(sent.shape)


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
def _decoder(element: type, depth: int) -> msgspec.json.Decoder[Any]:
    shape: Any = element
    for _ in range(depth):
        shape = list[shape]
    return msgspec.json.Decoder(shape)


def _invalid(sent: InputTensor, fault: str) -> InvalidRequestError:
    return InvalidRequestError(f"input tensor {sent.name!r} {fault}")
