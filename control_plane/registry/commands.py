"""What can be asked of the registry, as the bodies arrive."""

from typing import Annotated

import msgspec

from schemas.events.registry import ArtifactFormat, Datatype

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Description = Annotated[str, msgspec.Meta(max_length=2_000)]
Label = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
LabelValue = Annotated[str, msgspec.Meta(max_length=1_024)]
Labels = Annotated[dict[Label, LabelValue], msgspec.Meta(max_length=64)]
Metrics = Annotated[dict[Label, float], msgspec.Meta(max_length=64)]
Size = Annotated[int, msgspec.Meta(ge=-1, le=2**31)]
Shape = Annotated[tuple[Size, ...], msgspec.Meta(max_length=8)]
TensorName = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
ClassName = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
# UINT64 goes up to 2**64 - 1; which values a data type has is a rule of the registry.
Number = Annotated[int, msgspec.Meta(ge=-(2**63))]
Value = bool | Number | float | str


class RegisterModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Register a model."""

    name: Name
    description: Description = ""
    tags: Labels = {}


class ArtifactChoice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of the artifact store, and what it is; an adapter names its parent as `model/number` or by its id."""

    digest: str
    format: ArtifactFormat
    parent: Annotated[str, msgspec.Meta(min_length=1, max_length=300)] | None = None


class TensorBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Name, Open Inference Protocol data type and shape (-1 where the size is free) of one input or output.

    An input of a floating-point type may allow missing values: null in JSON, NaN in bytes. An output may name its
    `classes`, so that feedback can call an answer by name or by index: an integer is the index of a class, a text its
    name, and floats are a score for each class, of which the highest counts.
    """

    name: TensorName
    datatype: Datatype
    shape: Shape
    allows_missing: bool = False
    classes: Annotated[tuple[ClassName, ...], msgspec.Meta(max_length=1_000)] = ()


class SignatureBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the version takes and gives; what is left out is read from the file, if the file states it."""

    inputs: Annotated[tuple[TensorBody, ...], msgspec.Meta(min_length=1, max_length=64)] | None = None
    outputs: Annotated[tuple[TensorBody, ...], msgspec.Meta(min_length=1, max_length=64)] | None = None


class GoldenInputBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One input tensor; `data` is flattened, row by row."""

    name: TensorName
    datatype: Datatype
    shape: Shape
    data: tuple[Value, ...]


class GoldenBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An input, and what a correct instance answers to it; numbers are compared within `tolerance`."""

    inputs: Annotated[tuple[GoldenInputBody, ...], msgspec.Meta(min_length=1, max_length=64)]
    outputs: Annotated[dict[TensorName, tuple[Value, ...]], msgspec.Meta(min_length=1, max_length=64)]
    tolerance: Annotated[float, msgspec.Meta(ge=0)] = 1e-6


class RegisterVersion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Register the next version of a model, from a file in the artifact store."""

    artifact: ArtifactChoice
    signature: SignatureBody = SignatureBody()
    golden: GoldenBody | None = None
    parameters: Labels = {}
    metrics: Metrics = {}
    tags: Labels = {}


Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=2_000)]


class SetAlias(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Point an alias at a version of the model, by its number."""

    version: Annotated[int, msgspec.Meta(ge=1, le=2**31)]
    reason: Reason = "set by hand"


class RemoveAlias(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Remove an alias."""

    reason: Reason
