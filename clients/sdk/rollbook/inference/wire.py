"""Requests of the Open Inference Protocol v2 with its binary tensor extension: bytes rather than digits."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from rollbook.inference.tensors import DTYPES, Array, TensorSpec

HEADER_LENGTH = "inference-header-content-length"
_LENGTH_BYTES = 4


class UnreadableAnswer(Exception):
    """The bytes are not an answer of the protocol."""


class _Output(msgspec.Struct, frozen=True):
    name: str
    datatype: str
    shape: tuple[int, ...]
    data: list[Any] | None = None
    parameters: dict[str, Any] = {}


class _Answer(msgspec.Struct, frozen=True):
    outputs: list[_Output]


def request_of(tensors: Mapping[str, Array], specs: Sequence[TensorSpec]) -> tuple[bytes, dict[str, str]]:
    """Return a body and its headers; every output comes back as bytes too."""
    inputs, blobs = [], []
    for spec in specs:
        values = tensors[spec.name]
        blob = _bytes_of(values)
        inputs.append(
            {
                "name": spec.name,
                "datatype": spec.datatype,
                "shape": list(values.shape),
                "parameters": {"binary_data_size": len(blob)},
            }
        )
        blobs.append(blob)
    document = msgspec.json.encode({"inputs": inputs, "parameters": {"binary_data_output": True}})
    headers = {"content-type": "application/octet-stream", HEADER_LENGTH: str(len(document))}
    return b"".join((document, *blobs)), headers


def outputs_of(body: bytes, *, json_bytes: int | None, rows: int | None = None) -> dict[str, Array]:
    """Return the outputs of an answer; where `rows` are given, each output has to have as many.

    Raises:
        UnreadableAnswer: it is no such answer.
    """
    try:
        answer = msgspec.json.decode(body[:json_bytes], type=_Answer)
        outputs, begin = {}, json_bytes or len(body)
        for output in answer.outputs:
            size = int(output.parameters.get("binary_data_size", 0))
            outputs[output.name] = _values(output, body[begin : begin + size])
            begin += size
    except (msgspec.DecodeError, ValueError, KeyError, TypeError) as error:
        raise UnreadableAnswer(f"the answer cannot be read: {error}") from error
    for name, values in outputs.items():
        if rows is not None and (values.ndim == 0 or len(values) != rows):
            raise UnreadableAnswer(f"the output {name!r} has the shape {list(values.shape)} for {rows} rows")
    return outputs


def _values(output: _Output, blob: bytes) -> Array:
    dtype = DTYPES[output.datatype]
    if output.data is not None:
        plain = [each.encode() if isinstance(each, str) else each for each in output.data]
        return np.array(plain, dtype).reshape(output.shape)
    if output.datatype == "BYTES":
        return np.array(_texts(blob), dtype).reshape(output.shape)
    return np.frombuffer(blob, dtype).reshape(output.shape)


def _bytes_of(values: Array) -> bytes:
    if values.dtype != object:
        return np.ascontiguousarray(values).tobytes()
    return b"".join(len(each).to_bytes(_LENGTH_BYTES, "little") + each for each in values.reshape(-1))


def _texts(blob: bytes) -> list[bytes]:
    texts, begin = [], 0
    while begin < len(blob):
        end = begin + _LENGTH_BYTES
        length = int.from_bytes(blob[begin:end], "little")
        texts.append(blob[end : end + length])
        begin = end + length
    return texts
