"""Says whether an adapter fits the model that it is to adapt, by the names and shapes of their tensors.

A LoRA adapter adds to the weights W of a layer, [out, in], the product B A of A, [r, in], and B, [out, r] (Hu et al.,
2021, "LoRA: Low-Rank Adaptation of Large Language Models", section 4.1).
"""

import re
from collections.abc import Mapping
from typing import BinaryIO

import msgspec

from control_plane.artifacts.artifact_store import ArtifactStore
from control_plane.artifacts.errors import AdapterDoesNotFitError
from schemas.model_directory import ADAPTER_CONFIGURATION, CONFIGURATION, MAX_INDEX_BYTES, WEIGHTS, read_index
from schemas.safetensors_head import TensorHead, read_head

_MATRIX = re.compile(r"(?:base_model\.model\.)?(?P<layer>.+)\.lora_(?P<which>[AB])\.(?:\w+\.)?weight")
# A model and the class that it was trained in may differ in what stands before the first numbered part of a name.
_NUMBERED = re.compile(r"(?:^|\.)([^.]+\.\d+\..+)")
_PLAIN_NUMBERS = frozenset({"F16", "BF16", "F32", "F64"})
"""Weights of other types are packed, and their shape is no longer that of the layer."""
_MAY_BE_TIED = "lm_head"
"""A model whose last layer is its first one, transposed, keeps it once."""
_EXPERTS = (".experts", ".experts.base_layer")
"""Adapters of experts that a model keeps in one tensor have names and shapes of their own."""


class _Matrices(msgspec.Struct):
    takes: int | None = None
    gives: int | None = None


def check_fit(adapter: BinaryIO, parent: BinaryIO, store: ArtifactStore) -> None:
    """Refuse an adapter of another model; both are indexes of model directories that were looked over before.

    Raises:
        AdapterDoesNotFitError: with the first layer that does not fit.
    """
    adapted = _adapted(_tensors(adapter, store, configuration=ADAPTER_CONFIGURATION))
    if not adapted:
        raise AdapterDoesNotFitError("it contains no pair of LoRA matrices")
    try:
        layers = _layers(_tensors(parent, store, configuration=CONFIGURATION))
    except ValueError as error:
        raise AdapterDoesNotFitError(f"the parent's weights cannot be read: {error}") from error
    for name, matrices in adapted.items():
        _check_layer(name, matrices, layers.get(_key(name)))


def _check_layer(name: str, matrices: _Matrices, weights: list[TensorHead] | None) -> None:
    if name.endswith(_EXPERTS):
        return
    if weights is None:
        if name.rpartition(".")[2] != _MAY_BE_TIED:
            raise AdapterDoesNotFitError(f"it adapts {name}, which the parent does not have")
        return
    shapes = [weight.shape for weight in weights if weight.dtype in _PLAIN_NUMBERS and len(weight.shape) == 2]  # noqa: PLR2004 - a matrix
    # Some models keep a layer's weights transposed, as GPT-2.
    if shapes and not any(_fits(matrices, shape) or _fits(matrices, shape[::-1]) for shape in shapes):
        gives, takes = shapes[0]
        raise AdapterDoesNotFitError(
            f"its matrices for {name} take {matrices.takes} inputs and give {matrices.gives}; "
            f"the parent's layer takes {takes} and gives {gives}"
        )


def _fits(matrices: _Matrices, shape: tuple[int, ...]) -> bool:
    gives, takes = shape
    return matrices.takes in (None, takes) and matrices.gives in (None, gives)


def _adapted(tensors: Mapping[str, TensorHead]) -> dict[str, _Matrices]:
    found: dict[str, _Matrices] = {}
    for name, tensor in tensors.items():
        matrix = _MATRIX.fullmatch(name)
        if matrix is None or len(tensor.shape) != 2:  # noqa: PLR2004 - a matrix
            continue
        matrices = found.setdefault(matrix["layer"], _Matrices())
        if matrix["which"] == "A":
            matrices.takes = tensor.shape[1]
        else:
            matrices.gives = tensor.shape[0]
    return found


def _layers(tensors: Mapping[str, TensorHead]) -> dict[str, list[TensorHead]]:
    """Return what each layer has as `weight`, nothing where it keeps them in another form."""
    found: dict[str, list[TensorHead]] = {}
    for name, tensor in tensors.items():
        layer, _, part = name.rpartition(".")
        weights = found.setdefault(_key(layer), [])
        if part == "weight":
            weights.append(tensor)
    return found


def _key(layer: str) -> str:
    numbered = _NUMBERED.search(layer)
    return numbered[1] if numbered else layer.rpartition(".")[2]


def _tensors(index: BinaryIO, store: ArtifactStore, *, configuration: str) -> dict[str, TensorHead]:
    found: dict[str, TensorHead] = {}
    for part in read_index(index.read(MAX_INDEX_BYTES + 1), configuration=configuration).files:
        if part.path.endswith(WEIGHTS):
            with store.open(part.digest) as content:
                found |= read_head(content, path=part.path, size_bytes=part.size_bytes)
    return found
