"""Applies a capture policy in the engine's process, before anything is written."""

import hashlib
from typing import Any

import msgspec

from schemas.events.endpoints import CapturePolicy

_SAMPLE_SPACE = 1 << 32


class CapturedTensor(msgspec.Struct, frozen=True, omit_defaults=True):
    """A tensor as it leaves the process: its data, the beginning of its data, or a digest."""

    datatype: str = ""
    shape: tuple[int, ...] = ()
    data: msgspec.Raw | list[Any] | None = None
    truncated: bool = False
    blake2b: str = ""


class _Tensor(msgspec.Struct):
    name: str
    datatype: str = ""
    shape: tuple[int, ...] = ()
    data: msgspec.Raw = msgspec.Raw(b"[]")


class _Request(msgspec.Struct):
    inputs: list[_Tensor] = []


class _Answer(msgspec.Struct):
    outputs: list[_Tensor] = []


_requests = msgspec.json.Decoder(_Request)
_answers = msgspec.json.Decoder(_Answer)
_encoder = msgspec.json.Encoder()


def is_sampled(policy: CapturePolicy, prediction_id: str) -> bool:
    """Return whether a prediction belongs to the sample."""
    digest = hashlib.blake2b(prediction_id.encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") < policy.sampling_rate * _SAMPLE_SPACE


def captured_inputs(policy: CapturePolicy, body: bytes, *, hash_key: bytes) -> str:
    """Return the part of a request's inputs that the policy allows, as JSON; "" if the body is not a request."""
    try:
        tensors = _requests.decode(body).inputs
        kept = {tensor.name: _kept(policy, tensor, hash_key) for tensor in tensors if _wanted(policy.inputs, tensor)}
        # Data that was passed through is read for the first time here, so it may contain bytes that are not text.
        return _encoder.encode(kept).decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def captured_outputs(policy: CapturePolicy, body: bytes, *, hash_key: bytes) -> str:
    """Return the part of an answer's outputs that the policy allows, as JSON; "" if the body is not an answer."""
    try:
        tensors = _answers.decode(body).outputs
        kept = {tensor.name: _kept(policy, tensor, hash_key) for tensor in tensors if _wanted(policy.outputs, tensor)}
        return _encoder.encode(kept).decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def captured_prediction(policy: CapturePolicy, prediction: str) -> str | None:
    """Return the value that feedback is compared with, if the policy allows it; part of it would compare as wrong."""
    return prediction if policy.prediction and len(prediction.encode()) <= policy.max_bytes else None


def _wanted(names: tuple[str, ...] | None, tensor: _Tensor) -> bool:
    return names is None or tensor.name in names


def _kept(policy: CapturePolicy, tensor: _Tensor, hash_key: bytes) -> CapturedTensor:
    if tensor.name not in policy.hashed:
        return _whole_or_cut(policy, tensor)
    # Decoded and flattened first, so that white space and nesting do not change the digest.
    canonical = _encoder.encode(_flat(msgspec.json.decode(tensor.data)))
    digest = hashlib.blake2b(canonical, key=hash_key[:64], digest_size=16).hexdigest()
    return CapturedTensor(datatype=tensor.datatype, shape=tensor.shape, blake2b=digest)


def _whole_or_cut(policy: CapturePolicy, tensor: _Tensor) -> CapturedTensor:
    raw = bytes(tensor.data)
    # A value takes at least two characters, so short data need not be counted.
    if len(raw) <= min(policy.max_bytes, 2 * policy.max_values):
        return CapturedTensor(datatype=tensor.datatype, shape=tensor.shape, data=tensor.data)
    values = _flat(msgspec.json.decode(raw))
    kept = _within(values[: policy.max_values], policy.max_bytes)
    if len(kept) == len(values):
        return CapturedTensor(datatype=tensor.datatype, shape=tensor.shape, data=tensor.data)
    return CapturedTensor(datatype=tensor.datatype, shape=tensor.shape, data=kept, truncated=True)


def _within(values: list[Any], max_bytes: int) -> list[Any]:
    while values and len(_encoder.encode(values)) > max_bytes:
        values = values[: len(values) // 2]
    return values


def _flat(value: Any) -> list[Any]:  # noqa: ANN401 - any JSON
    if not isinstance(value, list):
        return [value]
    if not any(isinstance(part, list) for part in value):
        return value
    return [leaf for part in value for leaf in _flat(part)]
