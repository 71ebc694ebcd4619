"""What a name, a signature and a golden example must be."""

import math
import re
import sys
from collections.abc import Mapping, Sequence

import msgspec

from control_plane.ports import FileDescription
from control_plane.registry.commands import SignatureBody, TensorBody
from control_plane.registry.errors import (
    InvalidAliasError,
    InvalidGoldenExampleError,
    InvalidNameError,
    InvalidParentError,
    InvalidSignatureError,
    SignatureDiffersError,
    SignatureNotToldError,
)
from schemas.events.registry import FLOATS, Artifact, Datatype, GoldenExample, GoldenInput, Side, Signature, Tensor
from schemas.identifiers import kind_of
from schemas.tensor_notation import options_of

_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?", re.IGNORECASE | re.ASCII)
_ALIAS = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?", re.ASCII)
_TYPES_OF_VALUES: Mapping[Datatype, tuple[type, ...]] = {
    "BOOL": (bool,),
    "BYTES": (str,),
    **dict.fromkeys(FLOATS, (int, float)),
}
_MAX_FLOAT: Mapping[Datatype, float] = {
    "FP16": 65_504.0,
    "BF16": 3.3895313892515355e38,
    "FP32": 3.4028234663852886e38,
    "FP64": sys.float_info.max,
}

_OPTIONS: dict[Side, str] = {"inputs": "--input", "outputs": "--output"}
_VERBS: dict[Side, str] = {"inputs": "takes", "outputs": "gives"}


def names_fit_in_a_path(name: str) -> None:
    """Refuse a name that does not fit in a URL unchanged, or would be read there as an id."""
    if not _NAME.fullmatch(name) or kind_of(name.lower()) is not None:
        raise InvalidNameError(name)


def aliases_are_not_numbers(alias: str) -> None:
    """Refuse an alias that does not fit behind a model's name, or would be read there as a version's number."""
    if not _ALIAS.fullmatch(alias) or alias.isdecimal():
        raise InvalidAliasError(alias)


def adapters_have_a_model_as_parent(artifact: Artifact, *, parent: Artifact | None) -> None:
    """Refuse an adapter of nothing or of another adapter, and a parent of what is whole by itself."""
    if artifact.format == "lora" and parent is None:
        raise InvalidParentError("an adapter needs a parent version", remedy="name it in artifact.parent, as story/1")
    if artifact.format == "lora" and parent is not None and parent.format != "transformers":
        raise InvalidParentError(
            f"the parent is of the format {parent.format}", remedy="name a version of the format transformers"
        )
    if artifact.format != "lora" and parent is not None:
        raise InvalidParentError(
            f"a version of the format {artifact.format} has no parent", remedy="omit artifact.parent"
        )


def tensor_names_are_unique(signature: Signature) -> None:
    """Refuse two inputs, or two outputs, of one name."""
    for side, tensors in (("inputs", signature.inputs), ("outputs", signature.outputs)):
        names = [tensor.name for tensor in tensors]
        for index, name in enumerate(names):
            if name in names[:index]:
                raise InvalidSignatureError(
                    f"two {side} are named {name!r}",
                    field=f"signature.{side}[{index}].name",
                    remedy="give each its own name",
                )


def sizes_are_fixed_or_free(signature: Signature) -> None:
    """Refuse a tensor without values, which cannot be used."""
    for side, tensors in (("inputs", signature.inputs), ("outputs", signature.outputs)):
        for index, tensor in enumerate(tensors):
            if 0 in tensor.shape:
                raise InvalidSignatureError(
                    f"{tensor.name!r} has the shape {list(tensor.shape)}, which holds no values",
                    field=f"signature.{side}[{index}].shape",
                    remedy="give each size as a positive number, or -1 for any size",
                )


def missing_values_are_floats_of_inputs(signature: Signature) -> None:
    """Refuse missing values where no number stands for them, and in answers."""
    for side, tensors in (("inputs", signature.inputs), ("outputs", signature.outputs)):
        for index, tensor in enumerate(tensors):
            if tensor.allows_missing and (side == "outputs" or tensor.datatype not in FLOATS):
                raise InvalidSignatureError(
                    f"{tensor.name!r} cannot have missing values",
                    field=f"signature.{side}[{index}].allows_missing",
                    remedy=f"allow them in inputs of the types {', '.join(FLOATS)} only",
                )


def classes_are_told_from_indices(signature: Signature) -> None:
    """Refuse names of classes where they name nothing, or where a label would be a name and another's index."""
    for side, tensors in (("inputs", signature.inputs), ("outputs", signature.outputs)):
        for index, tensor in enumerate(tensors):
            problem = _class_problem(side, tensor) if tensor.classes else None
            if problem is not None:
                detail, remedy = problem
                raise InvalidSignatureError(detail, field=f"signature.{side}[{index}].classes", remedy=remedy)


def _class_problem(side: str, tensor: Tensor) -> tuple[str, str] | None:
    names = tensor.classes
    if side == "inputs" or tensor.datatype == "BOOL":
        return f"{tensor.name!r} has no classes", "name the classes of outputs that are integers, texts or scores"
    if tensor.datatype in FLOATS and tensor.shape[1:][-1:] != (len(names),):
        return (
            f"{tensor.name!r} has the shape {list(tensor.shape)}, but {len(names)} classes",
            "give the shape of one score for each class, such as [-1, 3] for three classes",
        )
    if len(set(names)) < len(names):
        return f"two classes of {tensor.name!r} have the same name", "give each its own name"
    taken = [name for place, name in enumerate(names) if _is_number(name) and name != str(place)]
    if taken:
        return f"class {taken[0]!r} of {tensor.name!r} has another index", "use names that are no numbers"
    return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def complete_signature(
    stated: SignatureBody, description: FileDescription | None
) -> tuple[Signature, tuple[Side, ...]]:
    """Return the whole signature, and those of its sides that were read from the file.

    Raises:
        SignatureNotToldError: a side is neither stated nor in the file.
    """
    inputs = _side("inputs", stated.inputs, description.inputs if description else ())
    outputs = _side("outputs", stated.outputs, description.outputs if description else ())
    given: tuple[tuple[Side, object], ...] = (("inputs", stated.inputs), ("outputs", stated.outputs))
    return Signature(inputs=inputs, outputs=outputs), tuple(side for side, tensors in given if tensors is None)


def files_can_keep_what_signatures_promise(signature: Signature, description: FileDescription | None) -> None:
    """Refuse a signature of which the file says something else."""
    difference = description.difference_from(signature) if description else None
    if difference is not None and description is not None:
        remedy = _remedy(signature, description.inputs, description.outputs)
        raise SignatureDiffersError(difference.detail, field=difference.field, remedy=remedy)


def golden_examples_fit_the_signature(golden: GoldenExample, signature: Signature) -> None:
    """Refuse an example that no correct instance could answer."""
    inputs = {tensor.name: tensor for tensor in signature.inputs}
    given = [each.name for each in golden.inputs]
    if sorted(given) != sorted(inputs):
        raise _refusal(f"it has the inputs {_listed(given)}, not {_listed(list(inputs))}", field="inputs")
    for index, each in enumerate(golden.inputs):
        _input_fits(each, inputs[each.name], field=f"inputs[{index}]")
    outputs = {tensor.name: tensor for tensor in signature.outputs}
    for name, values in golden.outputs.items():
        if name not in outputs:
            raise _refusal(f"the signature has no output {name!r}", field=f"outputs.{name}")
        _values_are(outputs[name].datatype, values, field=f"outputs.{name}")


def _input_fits(given: GoldenInput, tensor: Tensor, *, field: str) -> None:
    if given.datatype != tensor.datatype:
        raise _refusal(f"{given.name} is {given.datatype}, not {tensor.datatype}", field=f"{field}.datatype")
    is_shape = len(given.shape) == len(tensor.shape) and all(
        size > 0 and wanted in {size, -1} for size, wanted in zip(given.shape, tensor.shape, strict=True)
    )
    if not is_shape:
        raise _refusal(f"{given.name} has the shape {list(given.shape)}", field=f"{field}.shape")
    if len(given.data) != math.prod(given.shape):
        raise _refusal(f"{given.name} has {len(given.data)} values in that shape", field=f"{field}.data")
    _values_are(given.datatype, given.data, field=f"{field}.data")


def _values_are(datatype: Datatype, values: Sequence[bool | float | str], *, field: str) -> None:
    for index, value in enumerate(values):
        if not _is_of(datatype, value):
            raise _refusal(f"{value!r} is not a value of {datatype}", field=f"{field}[{index}]")


def _is_of(datatype: Datatype, value: bool | float | str) -> bool:  # noqa: FBT001  one of the values that tensors have
    # Exact types: Python counts a bool among the integers, and a tensor does not.
    if type(value) not in _TYPES_OF_VALUES.get(datatype, (int,)):
        return False
    if isinstance(value, bool | str):
        return True
    return abs(value) <= _MAX_FLOAT[datatype] if datatype in FLOATS else value in _range(datatype)


def _range(datatype: Datatype) -> range:
    bits = int(datatype.removeprefix("U").removeprefix("INT"))
    return range(2**bits) if datatype.startswith("U") else range(-(2 ** (bits - 1)), 2 ** (bits - 1))


def _refusal(detail: str, *, field: str) -> InvalidGoldenExampleError:
    return InvalidGoldenExampleError(
        detail,
        field=f"golden.{field}",
        remedy="give one input for each tensor of the signature, with its type and shape",
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _side(side: Side, stated: tuple[TensorBody, ...] | None, found: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    if stated is not None:
        return msgspec.convert(stated, tuple[Tensor, ...], from_attributes=True)
    if not found:
        raise SignatureNotToldError(
            f"the file does not say what the model {_VERBS[side]}",
            field=f"signature.{side}",
            remedy=f"state it: {_OPTIONS[side]} NAME:DATATYPE:SHAPE, or signature.{side} in the API",
        )
    return found


def _remedy(signature: Signature, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> str:
    if not inputs or not outputs:
        return "state what the file contains"
    fitting = Signature(inputs=_named_as(signature.inputs, inputs), outputs=_named_as(signature.outputs, outputs))
    return f"register it with {options_of(fitting)}"


def _named_as(stated: tuple[Tensor, ...], found: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return what the file says; an only tensor keeps the name that was stated."""
    if len(stated) == len(found) == 1:
        return (msgspec.structs.replace(found[0], name=stated[0].name),)
    return found
