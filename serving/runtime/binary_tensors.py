"""Tensors as bytes, in the common format of REST's binary tensor extension and gRPC's raw contents.

Numbers are little-endian, row by row; an element of BYTES follows its length in four bytes.
"""

import math
import struct

import numpy as np

from schemas.events.registry import Tensor
from serving.engines.base import DTYPES, Array, from_bf16_bits, to_bf16_bits
from serving.runtime.tensors import InputTensor, check_answered, check_fits, finite, invalid

_LENGTH = struct.Struct("<I")
_WIDE = {
    datatype: np.dtype(np.uint16 if datatype == "BF16" else dtype).newbyteorder("<")
    for datatype, dtype in DTYPES.items()
    if dtype is not np.object_
}


def read_binary(sent: InputTensor, expected: Tensor, raw: memoryview) -> Array:
    """Turn the bytes of an input into an array.

    Raises:
        InvalidRequestError: data type, shape, size or a value does not fit.
    """
    check_fits(sent, expected)
    count = math.prod(sent.shape)
    if sent.datatype == "BYTES":
        return _read_texts(sent, raw, count)
    wire = _WIDE[sent.datatype]
    if len(raw) != count * wire.itemsize:
        needed = count * wire.itemsize
        raise invalid(sent.name, f"has {len(raw)} bytes, but its shape {list(sent.shape)} needs {needed}")
    return finite(expected, _numbers(sent, raw, wire).reshape(sent.shape))


def write_binary(spec: Tensor, array: Array) -> bytes:
    """Turn an output into bytes.

    Raises:
        InferenceFailedError: the model returned a value that is not finite.
    """
    check_answered(spec, array)
    if spec.datatype == "BYTES":
        texts = [text.encode() for text in array.ravel().tolist()]
        return b"".join(part for text in texts for part in (_LENGTH.pack(len(text)), text))
    if spec.datatype == "BF16":
        array = to_bf16_bits(array)
    return array.astype(_WIDE[spec.datatype], copy=False).tobytes()


def _numbers(sent: InputTensor, raw: memoryview, wire: np.dtype[np.generic]) -> Array:
    if sent.datatype == "BOOL":
        bits = np.frombuffer(raw, dtype=np.uint8)
        if bits.max(initial=0) > 1:
            raise invalid(sent.name, "has a byte that is neither 0 nor 1, the two values of BOOL")
        return bits.astype(np.bool_)
    numbers = np.frombuffer(raw, dtype=wire)
    if sent.datatype == "BF16":
        return from_bf16_bits(numbers)
    # Not a copy on little-endian machines. The array is read-only, and engines do not write to their inputs.
    return numbers.astype(wire.newbyteorder("="), copy=False)


def _read_texts(sent: InputTensor, raw: memoryview, count: int) -> Array:
    texts = np.empty(count, dtype=np.object_)
    offset = 0
    try:
        for index in range(count):
            (length,) = _LENGTH.unpack_from(raw, offset)
            offset += _LENGTH.size + length
            if offset > len(raw):
                raise invalid(sent.name, "has an element that is cut short")
            texts[index] = str(raw[offset - length : offset], "utf-8")
    except struct.error as error:
        raise invalid(sent.name, f"has fewer elements than its shape {list(sent.shape)} needs") from error
    except UnicodeDecodeError as error:
        raise invalid(sent.name, "has an element that is not text in UTF-8") from error
    if offset != len(raw):
        raise invalid(sent.name, f"has more bytes than the elements of its shape {list(sent.shape)}")
    return texts.reshape(sent.shape)
