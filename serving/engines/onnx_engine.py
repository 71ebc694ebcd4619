"""Runs ONNX models on onnxruntime, which is an extra: the only file that imports it."""

import ctypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from schemas.events.registry import Signature, Tensor
from serving.engines.base import DTYPES, Array, Tensors, from_bf16_bits, to_bf16_bits
from serving.engines.errors import (
    EngineNotInstalledError,
    MalformedArtifactError,
    PredictionFailedError,
    SignatureMismatchError,
)

try:
    import onnxruntime
except ImportError:
    onnxruntime = None

_DATATYPES = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(bfloat16)": "BF16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}
_ONNX_BF16 = 16
"""TensorProto.BFLOAT16: numpy has no such type, so onnxruntime is told the number."""


class OnnxEngine:
    """Takes and answers the tensors of the graph, under the names that the graph gives them."""

    def __init__(self, path: Path, signature: Signature) -> None:
        self._signature = signature
        self._session = _session(path)
        _check("input", signature.inputs, self._session.get_inputs(), all_of_them=True)
        _check("output", signature.outputs, self._session.get_outputs(), all_of_them=False)
        self._outputs = [output.name for output in signature.outputs]
        self._has_bf16 = _has_bf16(signature)

    @property
    def signature(self) -> Signature:
        return self._signature

    def predict(self, inputs: Mapping[str, Array]) -> Tensors:
        feed = {tensor.name: inputs[tensor.name] for tensor in self._signature.inputs}
        try:
            answers = self._run_with_bf16(feed) if self._has_bf16 else self._session.run(self._outputs, feed)
            return {
                output.name: np.asarray(answer).astype(DTYPES[output.datatype], copy=False)
                for output, answer in zip(self._signature.outputs, answers, strict=True)
            }
        # onnxruntime's errors have no common base.
        except Exception as error:
            raise PredictionFailedError(f"the model failed with {type(error).__name__}") from error

    def _run_with_bf16(self, feed: Tensors) -> list[Array]:
        values = {tensor.name: _held(tensor, feed[tensor.name]) for tensor in self._signature.inputs}
        answers = self._session.run_with_ort_values(self._outputs, values)
        return [_read(answer) for answer in answers]


def _has_bf16(signature: Signature) -> bool:
    datatypes = {tensor.datatype for tensor in (*signature.inputs, *signature.outputs)}
    if {"BF16", "BYTES"} <= datatypes:
        raise SignatureMismatchError("the signature has BF16 and BYTES; onnxruntime's interface takes one or the other")
    return "BF16" in datatypes


def _held(tensor: Tensor, array: Array) -> Any:  # noqa: ANN401 - onnxruntime has no annotations
    if tensor.datatype == "BF16":
        return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(to_bf16_bits(array), _ONNX_BF16)
    return onnxruntime.OrtValue.ortvalue_from_numpy(array)


def _read(answer: Any) -> Array:  # noqa: ANN401 - onnxruntime has no annotations
    if answer.element_type() != _ONNX_BF16:
        array: Array = answer.numpy()
        return array
    # onnxruntime has no way from BF16 to numpy; its memory ends with the answer, so it is copied.
    raw = ctypes.string_at(answer.data_ptr(), answer.tensor_size_in_bytes())
    return from_bf16_bits(np.frombuffer(raw, dtype=np.uint16)).reshape(answer.shape())


def _session(path: Path) -> Any:  # noqa: ANN401 - onnxruntime has no annotations
    if onnxruntime is None:
        raise EngineNotInstalledError(library="onnxruntime", extra="onnx")
    options = onnxruntime.SessionOptions()
    # Replicas and other engines share the cores; one thread a call keeps latencies steady.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    # Its errors have no common base.
    except Exception as error:
        raise MalformedArtifactError(
            f"onnxruntime can't read the artifact ({type(error).__name__}: {error})"
        ) from error


def _check(kind: str, promised: tuple[Tensor, ...], held: list[Any], *, all_of_them: bool) -> None:
    types = {node.name: node.type for node in held}
    for tensor in promised:
        if tensor.name not in types:
            raise SignatureMismatchError(
                f"the signature has the {kind} {tensor.name!r}; the graph has {', '.join(types)}"
            )
        datatype = _DATATYPES.get(types[tensor.name], types[tensor.name])
        if datatype != tensor.datatype:
            raise SignatureMismatchError(
                f"the signature says that {kind} {tensor.name!r} is {tensor.datatype}; in the graph it is {datatype}"
            )
    missing = types.keys() - {tensor.name for tensor in promised}
    if all_of_them and missing:
        raise SignatureMismatchError(f"the graph also takes {', '.join(sorted(missing))}, which the signature lacks")
