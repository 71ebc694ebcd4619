"""What an engine is, and the table from an artifact's format to the engine that runs it."""

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from schemas.events.registry import ArtifactFormat, Signature
from serving.engines.errors import CannotLoadError

Array: TypeAlias = npt.NDArray[Any]
Tensors: TypeAlias = dict[str, Array]


class Engine(Protocol):
    """A loaded model.

    Guarantees: construction loads the model and checks it against the signature; `predict` has no side effects, may be
    called from several threads, and returns every output of the signature in its order, data type and rank.

    Failure: a factory raises CannotLoadError, and nothing from an untrusted file has been created or run; `predict`
    raises PredictionFailedError.
    """

    @property
    def signature(self) -> Signature:
        """What the model takes and gives."""
        ...

    def predict(self, inputs: Mapping[str, Array]) -> Tensors:
        """Predict for inputs that fit the signature, one array for each of its names."""
        ...

    def ask(self, inputs: Mapping[str, Array]) -> Tensors:
        """Return the model's own answer under the signature's names, before it is converted to their form."""
        ...

    def samples(self) -> Iterator[Tensors]:
        """Make up one-row inputs that the model should accept, the likeliest first."""
        ...


Factory: TypeAlias = Callable[[Path, Signature], Engine]

FACTORIES: dict[ArtifactFormat, str] = {
    "catboost": "serving.engines.catboost_engine:load_catboost",
    "lightgbm": "serving.engines.lightgbm_engine:load_lightgbm",
    "onnx": "serving.engines.onnx_engine:OnnxEngine",
    "skops": "serving.engines.sklearn_engine:SklearnEngine",
    "torch": "serving.engines.torch_engine:TorchEngine",
    "xgboost": "serving.engines.xgboost_engine:load_xgboost",
}
"""Named rather than imported, so that a process only loads the library of the model that it runs."""

DTYPES: dict[str, type[np.generic]] = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "BF16": np.float32,
    "FP32": np.float32,
    "FP64": np.float64,
    "BYTES": np.object_,
}
"""Open Inference Protocol data types in numpy.

BYTES is an array of str. BF16, which numpy lacks, is FP32 with only the upper half set.
"""


def to_bf16_bits(array: Array) -> Array:
    """Return the upper halves of FP32 values, rounded to nearest, ties to even."""
    bits = array.astype(np.float32, copy=False).view(np.uint32)
    rounded = (bits + (np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1)))) >> np.uint32(16)
    # Rounding must not turn a NaN into an infinity or a zero.
    return np.where(np.isnan(array), np.uint32(0x7FC0), rounded).astype(np.uint16)


def from_bf16_bits(bits: Array) -> Array:
    """Return the FP32 values with these upper halves."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def rounded_to_bf16(array: Array) -> Array:
    """Return the values rounded to BF16."""
    return from_bf16_bits(to_bf16_bits(array))


def load_engine(artifact_format: ArtifactFormat, path: Path, signature: Signature) -> Engine:
    """Load an artifact with the engine of its format.

    Raises:
        CannotLoadError: the format has no engine, or the engine rejects the file.
    """
    if artifact_format not in FACTORIES:
        raise CannotLoadError(
            f"no engine runs the format {artifact_format!r}; known formats are {', '.join(FACTORIES)}"
        )
    module, name = FACTORIES[artifact_format].split(":")
    factory = cast("Factory", getattr(import_module(module), name))
    return factory(path, signature)
