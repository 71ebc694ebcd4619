"""Facts of the model registry."""

from typing import Literal, TypeAlias

import msgspec

ArtifactFormat: TypeAlias = Literal[
    "skops", "onnx", "torch", "xgboost", "lightgbm", "catboost", "transformers", "lora", "external"
]
Datatype: TypeAlias = Literal[
    "BOOL",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "FP16",
    "BF16",
    "FP32",
    "FP64",
    "BYTES",
]

Side: TypeAlias = Literal["inputs", "outputs"]
"""A side of a signature."""

FLOATS: tuple[Datatype, ...] = ("FP16", "BF16", "FP32", "FP64")


class Artifact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file in the content-addressed store; `digest` is `sha256:<64 hex>`.

    Of the formats `transformers` and `lora` it is the index of a directory, of `external` the description of a server.
    An adapter (`lora`) has a parent: the id of the version whose weights it adapts. Others are written without.
    """

    digest: str
    size_bytes: int
    format: ArtifactFormat
    parent: str | None = None


class Tensor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Name, Open Inference Protocol data type and shape (-1 where the size is free) of one input or output.

    An input of a floating-point type may allow missing values: null in JSON, NaN in bytes. Others are written without.
    An output may name its `classes`: an integer is the index of one, and floats are a score for each.
    """

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    allows_missing: bool = False
    classes: tuple[str, ...] = ()


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """What a version takes and gives."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


class GoldenInput(msgspec.Struct, frozen=True, kw_only=True):
    """One input tensor as an Open Inference Protocol request carries it; `data` is flattened, row by row."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    data: tuple[bool | int | float | str, ...]


class GoldenExample(msgspec.Struct, frozen=True, kw_only=True):
    """An input, and what a correct instance answers to it.

    `outputs` maps an output's name to its flattened values; numbers are compared within `tolerance`.
    """

    inputs: tuple[GoldenInput, ...]
    outputs: dict[str, tuple[bool | int | float | str, ...]]
    tolerance: float = 1e-6


class ModelRegistered(msgspec.Struct, frozen=True, kw_only=True):
    """A model was registered under its name."""

    name: str
    description: str
    tags: dict[str, str]


class VersionNumberAssigned(msgspec.Struct, frozen=True, kw_only=True):
    """A version got the model's next number; recorded in the model's stream."""

    version_id: str
    number: int


class VersionAliasSet(msgspec.Struct, frozen=True, kw_only=True):
    """An alias of a model points to this version from now on; recorded in the model's stream."""

    alias: str
    version_id: str
    number: int
    reason: str


class VersionAliasRemoved(msgspec.Struct, frozen=True, kw_only=True):
    """An alias of a model was removed; recorded in the model's stream."""

    alias: str
    reason: str


class ModelVersionRegistered(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An immutable version was registered; recorded in the version's stream.

    `inferred` names the sides of the signature that no one stated, as the file says them. Others are written without.
    """

    model_id: str
    model_name: str
    number: int
    artifact: Artifact
    signature: Signature
    golden: GoldenExample | None
    parameters: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]
    inferred: tuple[Side, ...] = ()


EVENTS: dict[str, type[msgspec.Struct]] = {
    "registry.ModelRegistered.v1": ModelRegistered,
    "registry.ModelVersionRegistered.v1": ModelVersionRegistered,
    "registry.VersionAliasRemoved.v1": VersionAliasRemoved,
    "registry.VersionAliasSet.v1": VersionAliasSet,
    "registry.VersionNumberAssigned.v1": VersionNumberAssigned,
}
