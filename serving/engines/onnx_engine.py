"""Runs ONNX models on onnxruntime, which is an extra: the only file that imports it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from schemas.events.registry import Signature, Tensor
from serving.engines.base import DTYPES, Array, Tensors
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
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}


class OnnxEngine:
    """Takes and answers the tensors of the graph, under the names that the graph gives them."""

    def __init__(self, path: Path, signature: Signature) -> None:
        self._signature = signature
        self._session = _session(path)
        _check("input", signature.inputs, self._session.get_inputs(), all_of_them=True)
        _check("output", signature.outputs, self._session.get_outputs(), all_of_them=False)
        self._outputs = [output.name for output in signature.outputs]

    @property
    def signature(self) -> Signature:
        return self._signature

    def predict(self, inputs: Mapping[str, Array]) -> Tensors:
        feed = {tensor.name: inputs[tensor.name] for tensor in self._signature.inputs}
        try:
            answers = self._session.run(self._outputs, feed)
            return {
                output.name: np.asarray(answer).astype(DTYPES[output.datatype], copy=False)
                for output, answer in zip(self._signature.outputs, answers, strict=True)
            }
        # onnxruntime's errors have no common base.
        except Exception as error:
            raise PredictionFailedError(f"the model failed with {type(error).__name__}") from error


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
