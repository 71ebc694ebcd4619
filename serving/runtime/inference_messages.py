"""The JSON requests and answers of `infer` in Open Inference Protocol v2, checked against a signature.

With the binary tensor extension, the bytes of tensors follow the JSON, in the order of the tensors.
"""

from typing import Any

import msgspec

from schemas.events.registry import Signature, Tensor
from serving.engines.base import Array, Tensors
from serving.runtime.binary_tensors import read_binary, write_binary
from serving.runtime.errors import InvalidRequestError
from serving.runtime.non_numbers import tensor_with_a_non_number
from serving.runtime.tensors import (
    InputTensor,
    OutputTensor,
    check_fits,
    invalid,
    not_finite,
    read_tensor,
    wanted_form,
    write_tensor,
)

_BINARY_SIZE = "binary_data_size"
_SHARED_MEMORY = "shared_memory_region"


class RequestedOutput(msgspec.Struct, frozen=True):
    """An output that the caller requests; without any, all are returned."""

    name: str
    parameters: dict[str, Any] | None = None


class InferRequest(msgspec.Struct, frozen=True):
    """Fields that the protocol does not know are ignored, as it requires."""

    inputs: tuple[InputTensor, ...]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: tuple[RequestedOutput, ...] | None = None


class InferAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What `infer` answers."""

    model_name: str
    model_version: str
    outputs: tuple[OutputTensor, ...]
    parameters: dict[str, str]
    id: str | None = None


_decoder = msgspec.json.Decoder(InferRequest)


def read_request(body: bytes | memoryview) -> InferRequest:
    """Read a body.

    Raises:
        InvalidRequestError: it is not JSON, or not a request of the protocol.
    """
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        name = tensor_with_a_non_number(bytes(body))
        if name is not None:
            raise not_finite(name) from error
        raise InvalidRequestError(f"the body is not an inference request: {error}") from error


def read_inputs(request: InferRequest, signature: Signature, binary: memoryview) -> Tensors:
    """Return one array for each input of the signature; `binary` is what follows the JSON.

    Raises:
        InvalidRequestError: an input is missing, unknown, duplicated or does not fit.
    """
    arrays: Tensors = {}
    offset = 0
    for sent in request.inputs:
        expected = expected_input(sent.name, signature, arrays)
        size = _binary_size(sent)
        if size is None:
            arrays[sent.name] = read_tensor(sent, expected)
            continue
        arrays[sent.name] = _read_binary(sent, expected, binary[offset : offset + size], size=size)
        offset += size
    if offset != len(binary):
        raise InvalidRequestError(f"{len(binary) - offset} bytes follow the JSON that belong to no input tensor")
    check_complete(arrays, signature)
    return arrays


def expected_input(name: str, signature: Signature, known: Tensors) -> Tensor:
    """Return an input's entry in the signature.

    Raises:
        InvalidRequestError: there is none, or the input has already appeared.
    """
    for tensor in signature.inputs:
        if tensor.name == name:
            if name in known:
                raise invalid(name, "appears twice; send it once")
            return tensor
    raise invalid(name, f"is unknown; the model takes {', '.join(tensor.name for tensor in signature.inputs)}")


def check_complete(arrays: Tensors, signature: Signature) -> None:
    """Check that no input is missing.

    Raises:
        InvalidRequestError: one is.
    """
    for tensor in signature.inputs:
        if tensor.name not in arrays:
            raise invalid(tensor.name, f"is missing; the model takes it as {wanted_form(tensor)}")


def wanted_outputs(request: InferRequest, signature: Signature) -> dict[str, bool]:
    """Return the names of the outputs to return, and whether as bytes.

    Raises:
        InvalidRequestError: a requested output does not exist, or is requested in an unsupported form.
    """
    all_binary = (request.parameters or {}).get("binary_data_output") is True
    if not request.outputs:
        return dict.fromkeys((tensor.name for tensor in signature.outputs), all_binary)
    for output in request.outputs:
        check_wanted(output.name, output.parameters or {}, signature)
    return {output.name: (output.parameters or {}).get("binary_data", all_binary) is True for output in request.outputs}


def check_wanted(name: str, parameters: dict[str, Any], signature: Signature) -> None:
    """Check that an output exists and is requested in a supported form.

    Raises:
        InvalidRequestError: one of these does not hold.
    """
    known = [tensor.name for tensor in signature.outputs]
    if name not in known:
        raise InvalidRequestError(f"output tensor {name!r} is unknown; the model gives {', '.join(known)}")
    if parameters.get("classification"):
        raise InvalidRequestError(f"output tensor {name!r} cannot be returned as a classification; ask for its values")
    if _SHARED_MEMORY in parameters:
        raise InvalidRequestError(f"output tensor {name!r} cannot be left in shared memory; ask for its values")


def write_outputs(
    outputs: Tensors, signature: Signature, wanted: dict[str, bool]
) -> tuple[tuple[OutputTensor, ...], list[bytes]]:
    """Convert the requested outputs to JSON in the order of the signature, and to the bytes that follow it.

    Raises:
        InferenceFailedError: the model returned a value that is not finite.
    """
    written: list[OutputTensor] = []
    chunks: list[bytes] = []
    for spec in signature.outputs:
        if spec.name in wanted:
            array = outputs[spec.name]
            if wanted[spec.name]:
                chunks.append(write_binary(spec, array))
                written.append(_followed_by(spec, array, size=len(chunks[-1])))
            else:
                written.append(write_tensor(spec, array))
    return tuple(written), chunks


def as_json(kind: str, specs: tuple[Tensor, ...], arrays: Tensors, *, limit: int | None) -> bytes:
    """Write tensors that were sent as bytes the way JSON would represent them, for recording.

    At most the given number of values of each is written; the shape is that of the whole tensor.
    """
    tensors = [
        OutputTensor(name=spec.name, datatype=spec.datatype, shape=array.shape, data=array.ravel()[:limit].tolist())
        for spec in specs
        if (array := arrays.get(spec.name)) is not None
    ]
    return msgspec.json.encode({kind: tensors})


def _followed_by(spec: Tensor, array: Array, *, size: int) -> OutputTensor:
    return OutputTensor(name=spec.name, datatype=spec.datatype, shape=array.shape, parameters={_BINARY_SIZE: size})


def _binary_size(sent: InputTensor) -> int | None:
    parameters = sent.parameters or {}
    if _SHARED_MEMORY in parameters:
        raise invalid(sent.name, "cannot be read from shared memory; send its values")
    size = parameters.get(_BINARY_SIZE)
    if size is None:
        return None
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise invalid(sent.name, f"has a {_BINARY_SIZE} that is not a number of bytes")
    if bytes(sent.data):
        raise invalid(sent.name, "has its data twice, as JSON and as bytes")
    return size


def _read_binary(sent: InputTensor, expected: Tensor, raw: memoryview, *, size: int) -> Array:
    if len(raw) < size:
        check_fits(sent, expected)
        raise invalid(sent.name, f"announces {size} bytes after the JSON, but {len(raw)} are left")
    return read_binary(sent, expected, raw)
