"""Runs programs exported by torch. torch is an extra, and only this file imports it. Nothing is unpickled."""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from schemas.events.registry import Signature
from serving.engines.answers import promised_form
from serving.engines.base import Array, Tensors
from serving.engines.errors import (
    EngineNotInstalledError,
    MalformedArtifactError,
    PredictionFailedError,
    SignatureMismatchError,
)
from serving.engines.exported_program import safe_program
from serving.engines.samples import constant_inputs

try:
    import torch
except ImportError:
    torch = None

_DTYPES = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "BF16": "bfloat16",
    "FP32": "float32",
    "FP64": "float64",
}


class TorchEngine:
    """Passes the inputs in the order of the signature.

    Outputs are identified by the names in the mapping that the program returns, or by the order of the signature if it
    returns one or several tensors.
    """

    def __init__(self, path: Path, signature: Signature) -> None:
        if torch is None:
            raise EngineNotInstalledError(library="torch", extra="torch")
        for tensor in (*signature.inputs, *signature.outputs):
            if tensor.datatype not in _DTYPES:
                raise SignatureMismatchError(f"tensor {tensor.name!r} is {tensor.datatype}, which torch does not have")
        self._signature = signature
        program = _program(path)
        self._module = program.module(check_guards=False)
        self._check(program)

    @property
    def signature(self) -> Signature:
        return self._signature

    def predict(self, inputs: Mapping[str, Array]) -> Tensors:
        return promised_form(self._signature, self.ask(inputs))

    def ask(self, inputs: Mapping[str, Array]) -> Tensors:
        try:
            with torch.inference_mode():
                given = [self._tensor(inputs[spec.name], spec.datatype) for spec in self._signature.inputs]
                answers = self._named(self._module(*given))
                return {spec.name: _array(answers[spec.name]) for spec in self._signature.outputs}
        # A model can raise anything; the cause is kept, and the caller turns it into an answer.
        except Exception as error:
            raise PredictionFailedError(f"the model failed with {type(error).__name__}") from error

    def samples(self) -> Iterator[Tensors]:
        return constant_inputs(self._signature)

    def _named(self, answer: Any) -> Mapping[str, Any]:  # noqa: ANN401 - whatever the program returns
        if isinstance(answer, Mapping):
            return answer
        several = answer if isinstance(answer, list | tuple) else (answer,)
        return {spec.name: one for spec, one in zip(self._signature.outputs, several, strict=False)}

    def _check(self, program: Any) -> None:  # noqa: ANN401 - torch's own type is an extra's
        taken = [spec.arg.name for spec in program.graph_signature.input_specs if spec.kind.name == "USER_INPUT"]
        inputs = self._signature.inputs
        if len(taken) != len(inputs):
            raise SignatureMismatchError(f"the signature has {len(inputs)} inputs; the program takes {len(taken)}")
        held = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
        for name, tensor in zip(taken, inputs, strict=True):
            dtype = getattr(held[name], "dtype", None)
            if dtype != getattr(torch, _DTYPES[tensor.datatype]):
                raise SignatureMismatchError(
                    f"the signature says that input {tensor.name!r} is {tensor.datatype}; in the program it is {dtype}"
                )
        self._check_outputs(program.call_spec.out_spec)

    def _check_outputs(self, given: Any) -> None:  # noqa: ANN401 - torch's own type is an extra's
        names = [output.name for output in self._signature.outputs]
        known = list(given.context) if given.type is dict else names[: max(1, given.num_children)]
        for name in names:
            if name not in known:
                raise SignatureMismatchError(
                    f"the signature promises the output {name!r}; this program answers {', '.join(known)}"
                )

    @staticmethod
    def _tensor(array: Array, datatype: str) -> Any:  # noqa: ANN401 - torch's own type is an extra's
        # Copied because arrays that came over the wire are read-only, and torch warns about those.
        return torch.from_numpy(np.array(array)).to(getattr(torch, _DTYPES[datatype]))


def _program(path: Path) -> Any:  # noqa: ANN401 - torch's own type is an extra's
    content = safe_program(path)
    torch.set_num_threads(1)
    try:
        return torch.export.load(io.BytesIO(content))
    # torch can raise almost anything on a file that was tampered with.
    except Exception as error:
        raise MalformedArtifactError(f"torch cannot read the artifact ({type(error).__name__}: {error})") from error


def _array(tensor: Any) -> Array:  # noqa: ANN401 - torch's own type is an extra's
    # numpy has no BF16.
    array: Array = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).contiguous().numpy()
    return array
