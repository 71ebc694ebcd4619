"""Tensors in gRPC messages: raw bytes for every data type, or typed contents if the protocol has them."""

from typing import Any

import numpy as np

from schemas.events.registry import Signature, Tensor
from serving.engines.base import Array, Tensors
from serving.runtime.binary_tensors import read_binary, write_binary
from serving.runtime.errors import InvalidRequestError
from serving.runtime.inference_messages import check_complete, check_wanted, expected_input
from serving.runtime.protocol import open_inference_pb2 as messages
from serving.runtime.tensors import InputTensor, check_answered, check_fits, finite, invalid, read_values

_CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""FP16 and BF16 have no typed contents, only raw bytes."""


def read_inputs(request: messages.ModelInferRequest, signature: Signature) -> Tensors:
    """Return one array for each input of the signature.

    Raises:
        InvalidRequestError: an input is missing, unknown, duplicated or does not fit.
    """
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise InvalidRequestError(f"raw_input_contents has {len(raw)} entries for {len(request.inputs)} input tensors")
    arrays: Tensors = {}
    for number, sent in enumerate(request.inputs):
        tensor = InputTensor(name=sent.name, datatype=sent.datatype, shape=tuple(sent.shape))
        expected = expected_input(sent.name, signature, arrays)
        if "shared_memory_region" in sent.parameters:
            raise invalid(sent.name, "cannot be read from shared memory; send its values")
        if not raw:
            arrays[sent.name] = _read_contents(tensor, expected, sent.contents)
        elif sent.contents.ByteSize():
            raise invalid(sent.name, "has its data twice, as contents and in raw_input_contents")
        else:
            arrays[sent.name] = read_binary(tensor, expected, memoryview(raw[number]))
    check_complete(arrays, signature)
    return arrays


def wanted_outputs(request: messages.ModelInferRequest, signature: Signature) -> list[str]:
    """Return the names of the outputs to return.

    Raises:
        InvalidRequestError: a requested output does not exist, or is requested in an unsupported form.
    """
    for output in request.outputs:
        check_wanted(output.name, dict.fromkeys(output.parameters, True), signature)
    return [output.name for output in request.outputs] or [tensor.name for tensor in signature.outputs]


def write_outputs(
    answer: messages.ModelInferResponse, outputs: Tensors, signature: Signature, *, wanted: list[str], as_raw: bool
) -> None:
    """Add the requested outputs to an answer: as raw bytes if the request had them or a type has no other form.

    Raises:
        InferenceFailedError: the model returned a value that is not finite.
    """
    specs = [spec for spec in signature.outputs if spec.name in wanted]
    as_raw = as_raw or any(spec.datatype not in _CONTENTS for spec in specs)
    for spec in specs:
        array = outputs[spec.name]
        written = answer.outputs.add(name=spec.name, datatype=spec.datatype, shape=array.shape)
        if as_raw:
            answer.raw_output_contents.append(write_binary(spec, array))
        else:
            _write_contents(written.contents, spec, array)


def _read_contents(sent: InputTensor, expected: Tensor, contents: Any) -> Array:  # noqa: ANN401 - a generated message
    check_fits(sent, expected)
    field = _CONTENTS.get(sent.datatype)
    if field is None:
        raise invalid(sent.name, f"has no data; {sent.datatype} has to be sent in raw_input_contents")
    others = [known.name for known, _ in contents.ListFields() if known.name != field]
    if others:
        raise invalid(sent.name, f"has its data in {', '.join(others)}; {sent.datatype} belongs in {field}")
    values = list(getattr(contents, field))
    if sent.datatype == "BYTES":
        values = [_text(sent, value) for value in values]
    return finite(expected, read_values(sent, values))


def _text(sent: InputTensor, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise invalid(sent.name, "has an element that is not text in UTF-8") from error


def _write_contents(contents: Any, spec: Tensor, array: Array) -> None:  # noqa: ANN401 - a generated message
    check_answered(spec, array)
    values: list[Any] = array.ravel().tolist()
    if array.dtype == np.object_:
        values = [value.encode() for value in values]
    getattr(contents, _CONTENTS[spec.datatype]).extend(values)
