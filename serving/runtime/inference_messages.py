"""The request and answer of `infer` as Open Inference Protocol v2 writes them in JSON, checked against a signature."""

from typing import Any

import msgspec

from schemas.events.registry import Signature
from serving.engines.base import Tensors
from serving.runtime.errors import InvalidRequestError
from serving.runtime.tensors import InputTensor, OutputTensor, read_tensor, write_tensor


class RequestedOutput(msgspec.Struct, frozen=True):
    """An output that the caller wants; without any, all are answered."""

    name: str
    parameters: dict[str, Any] | None = None


class InferRequest(msgspec.Struct, frozen=True):
    """Fields that the protocol does not know are ignored, as it asks."""

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


def read_request(body: bytes) -> InferRequest:
    """Read a body.

    Raises:
        InvalidRequestError: it is no JSON, or no request of the protocol.
    """
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidRequestError(f"the body is no inference request: {error}") from error


def read_inputs(request: InferRequest, signature: Signature) -> Tensors:
    """Return one array for each input of the signature.

    Raises:
        InvalidRequestError: an input is missing, unknown, there twice or does not fit.
    """
    expected = {tensor.name: tensor for tensor in signature.inputs}
    arrays: Tensors = {}
    for sent in request.inputs:
        if sent.name not in expected:
            raise InvalidRequestError(f"input tensor {sent.name!r} is unknown; the model takes {', '.join(expected)}")
        if sent.name in arrays:
            raise InvalidRequestError(f"input tensor {sent.name!r} is there twice")
        arrays[sent.name] = read_tensor(sent, expected[sent.name])
    for name in expected:
        if name not in arrays:
            raise InvalidRequestError(f"input tensor {name!r} is missing")
    return arrays


def check_requested(request: InferRequest, signature: Signature) -> frozenset[str]:
    """Return the names of the outputs to answer.

    Raises:
        InvalidRequestError: a wanted output does not exist.
    """
    known = [tensor.name for tensor in signature.outputs]
    if not request.outputs:
        return frozenset(known)
    for output in request.outputs:
        if output.name not in known:
            raise InvalidRequestError(f"output tensor {output.name!r} is unknown; the model gives {', '.join(known)}")
    return frozenset(output.name for output in request.outputs)


def write_outputs(outputs: Tensors, signature: Signature, wanted: frozenset[str]) -> tuple[OutputTensor, ...]:
    """Turn the wanted outputs into their JSON form, in the order of the signature.

    Raises:
        InferenceFailedError: the model answered what JSON can't carry.
    """
    return tuple(write_tensor(spec, outputs[spec.name]) for spec in signature.outputs if spec.name in wanted)
