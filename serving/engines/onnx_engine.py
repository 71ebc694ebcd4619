"""Runs ONNX models on onnxruntime. onnxruntime is an extra, and only this file imports it."""

import ctypes
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from schemas.events.registry import Signature, Tensor
from serving.engines.answers import promised_form
from serving.engines.base import Array, Tensors, from_bf16_bits, to_bf16_bits
from serving.engines.errors import (
    EngineNotInstalledError,
    MalformedArtifactError,
    PredictionFailedError,
    SignatureMismatchError,
)
from serving.engines.samples import constant_inputs

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
"""TensorProto.BFLOAT16: numpy has no such type, so onnxruntime gets the number."""


class OnnxEngine:
    """Takes and returns the graph's tensors, under their names in the graph.

    If the graph has a single input or output, it gets the name in the signature.
    """

    def __init__(self, path: Path, signature: Signature) -> None:
        self._signature = signature
        self._session = _session(path)
        self._inputs = _names("input", signature.inputs, self._session.get_inputs())
        self._outputs = _names("output", signature.outputs, self._session.get_outputs())
        self._has_bf16 = _has_bf16(signature)

    @property
    def signature(self) -> Signature:
        return self._signature

    def predict(self, inputs: Mapping[str, Array]) -> Tensors:
        return promised_form(self._signature, self.ask(inputs))

    def ask(self, inputs: Mapping[str, Array]) -> Tensors:
        try:
            answers = self._run_with_bf16(inputs) if self._has_bf16 else self._run(inputs)
        # onnxruntime's errors have no common base.
        except Exception as error:
            raise PredictionFailedError(f"the model failed with {type(error).__name__}") from error
        return dict(zip(self._outputs, answers, strict=True))

    def samples(self) -> Iterator[Tensors]:
        return constant_inputs(self._signature)

    def _run(self, inputs: Mapping[str, Array]) -> list[Array]:
        feed = {in_graph: inputs[name] for name, in_graph in self._inputs.items()}
        return [np.asarray(answer) for answer in self._session.run([*self._outputs.values()], feed)]

    def _run_with_bf16(self, inputs: Mapping[str, Array]) -> list[Array]:
        values = {self._inputs[tensor.name]: _held(tensor, inputs[tensor.name]) for tensor in self._signature.inputs}
        answers = self._session.run_with_ort_values([*self._outputs.values()], values)
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
    # onnxruntime cannot convert BF16 to numpy; the memory is freed with the answer, so it is copied.
    raw = ctypes.string_at(answer.data_ptr(), answer.tensor_size_in_bytes())
    return from_bf16_bits(np.frombuffer(raw, dtype=np.uint16)).reshape(answer.shape())


def _session(path: Path) -> Any:  # noqa: ANN401 - onnxruntime has no annotations
    if onnxruntime is None:
        raise EngineNotInstalledError(library="onnxruntime", extra="onnx")
    options = onnxruntime.SessionOptions()
    # Replicas and other engines share the cores; one thread per call keeps latencies steady.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    # Its errors have no common base.
    except Exception as error:
        raise MalformedArtifactError(
            f"onnxruntime cannot read the artifact ({type(error).__name__}: {error})"
        ) from error


def _names(kind: str, promised: tuple[Tensor, ...], held: list[Any]) -> dict[str, str]:
    """Return the graph's name for each name in the signature."""
    nodes = {node.name: node for node in held}
    names = {tensor.name: tensor.name for tensor in promised}
    if len(promised) == len(held) == 1:
        names = {promised[0].name: held[0].name}
    for tensor in promised:
        if names[tensor.name] not in nodes:
            raise SignatureMismatchError(
                f"the signature has the {kind} {tensor.name!r}; the graph has {', '.join(nodes)}"
            )
        _check_form(kind, tensor, nodes[names[tensor.name]])
    missing = nodes.keys() - names.values()
    if kind == "input" and missing:
        raise SignatureMismatchError(f"the graph also takes {', '.join(sorted(missing))}, which the signature lacks")
    return names


def _check_form(kind: str, tensor: Tensor, node: Any) -> None:  # noqa: ANN401 - onnxruntime has no annotations
    datatype = _DATATYPES.get(node.type, node.type)
    if datatype != tensor.datatype:
        raise SignatureMismatchError(
            f"the signature says that {kind} {tensor.name!r} is {tensor.datatype}; in the graph it is {datatype}"
        )
    # For a tensor without a shape in the graph, onnxruntime reports none.
    if kind == "input" and node.shape and not _takes(tensor.shape, node.shape):
        raise SignatureMismatchError(
            f"the signature says that input {tensor.name!r} is {list(tensor.shape)}; in the graph it is {node.shape}"
        )


def _takes(promised: tuple[int, ...], held: list[Any]) -> bool:
    """Whether the graph accepts everything that the signature allows; a free number of rows must be free in both."""
    if len(promised) != len(held) or (promised[0] < 0 and isinstance(held[0], int)):
        return False
    return all(
        size < 0 or not isinstance(fixed, int) or size == fixed for size, fixed in zip(promised, held, strict=True)
    )
