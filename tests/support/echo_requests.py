"""Requests of the unmodified `tritonclient` for the echo model, one tensor of them changed, over each of its ways."""

import asyncio
from collections.abc import Callable
from types import ModuleType
from typing import Any

import ml_dtypes
import msgspec
import numpy as np
import numpy.typing as npt
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio
from tritonclient.utils import np_to_triton_dtype

from tests.support.echo_model import MODELS

Values = npt.NDArray[Any]
_DTYPES: dict[str, Any] = {
    "BF16": ml_dtypes.bfloat16,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
    "BYTES": np.object_,
    "BOOL": bool,
}
_WITHOUT_JSON = frozenset({"FP16", "BF16"})
"""The client itself has no JSON form of them."""


class Way(msgspec.Struct, frozen=True):
    """A client and a form of tensors; `invalid` and `too_large` are its names of the two refusals."""

    module: ModuleType
    client: Callable[[str], Any]
    is_async: bool = False
    is_json: bool = False

    @property
    def is_grpc(self) -> bool:
        return "grpc" in self.module.__name__

    @property
    def is_aiohttp(self) -> bool:
        return self.is_async and not self.is_grpc

    @property
    def invalid(self) -> str:
        return "StatusCode.INVALID_ARGUMENT" if self.is_grpc else "400"

    @property
    def too_large(self) -> str:
        return "StatusCode.RESOURCE_EXHAUSTED" if self.is_grpc else "413"

    def tensor(self, name: str, values: Values) -> object:
        datatype = np_to_triton_dtype(values.dtype)
        tensor = self.module.InferInput(name, list(values.shape), datatype)
        if self.is_grpc:
            tensor.set_data_from_numpy(values)
        else:
            tensor.set_data_from_numpy(values, binary_data=not self.is_json or datatype in _WITHOUT_JSON)
        return tensor

    def wanted(self, name: str) -> object:
        if self.is_grpc:
            return self.module.InferRequestedOutput(name)
        is_binary = not self.is_json or name.removeprefix("out_") in _WITHOUT_JSON
        return self.module.InferRequestedOutput(name, binary_data=is_binary)

    async def infer(self, address: str, model: str, inputs: list[Any], **more: Any) -> Any:  # noqa: ANN401 - the client has no annotations
        if self.is_async:
            async with self.client(address) as client:
                return await client.infer(model, inputs, **more)

        def ask() -> Any:  # noqa: ANN401 - the same
            with self.client(address) as client:
                return client.infer(model, inputs, **more)

        return await asyncio.to_thread(ask)


WAYS = {
    "rest json": Way(tritonclient.http, tritonclient.http.InferenceServerClient, is_json=True),
    "rest bytes": Way(tritonclient.http, tritonclient.http.InferenceServerClient),
    "rest aio": Way(tritonclient.http, tritonclient.http.aio.InferenceServerClient, is_async=True),
    "grpc": Way(tritonclient.grpc, tritonclient.grpc.InferenceServerClient),
    "grpc aio": Way(tritonclient.grpc, tritonclient.grpc.aio.InferenceServerClient, is_async=True),
}


def model_of(datatype: str) -> str:
    """Return the model that answers a data type."""
    return "bf16" if datatype == "BF16" else "echo"


def values_of(datatype: str) -> Values:
    """Return the two values to ask for, as the client takes them."""
    values = MODELS[model_of(datatype)][datatype][1]
    if datatype == "BYTES":
        values = [value.encode() for value in values]
    return np.array(values, dtype=_DTYPES.get(datatype, datatype.lower())).reshape(2, 1)


def inputs_of(model: str, changed: dict[str, Values] | None = None, *, left_out: str = "") -> dict[str, Values]:
    """Return an input for each data type of a model, some of them changed and maybe one left out."""
    inputs = {f"in_{datatype}": values_of(datatype) for datatype in MODELS[model]} | (changed or {})
    inputs.pop(left_out, None)
    return inputs
