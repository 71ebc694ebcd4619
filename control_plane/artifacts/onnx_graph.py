"""What the graph of an ONNX file takes and gives, read without its nodes and weights."""

from typing import BinaryIO, cast

import msgspec

from control_plane.artifacts.errors import UnservableModelError
from control_plane.artifacts.protobuf_fields import (
    VARINT,
    Field,
    MalformedMessageError,
    fields_of,
    text_of,
)
from control_plane.artifacts.shapes import gives, takes
from control_plane.ports import Difference
from schemas.events.registry import Datatype, Signature, Tensor

# Numbers of fields by onnx.proto.
_INITIALIZER, _INPUT, _OUTPUT = 5, 11, 12
_VALUE_NAME, _VALUE_TYPE = 1, 2
_TENSOR_TYPE, _ELEMENT, _SHAPE = 1, 1, 2
_DIMENSION, _FIXED_SIZE = 1, 1
_WEIGHT_NAME, _WEIGHT_LOCATION, _ELSEWHERE = 8, 14, 1
_MAX_FIELDS = 1_000_000
_MAX_TENSORS = 1_000
_DATATYPES: dict[int, Datatype] = {
    1: "FP32",
    2: "UINT8",
    3: "INT8",
    4: "UINT16",
    5: "INT16",
    6: "INT32",
    7: "INT64",
    8: "BYTES",
    9: "BOOL",
    10: "FP16",
    11: "FP64",
    12: "UINT32",
    13: "UINT64",
    16: "BF16",
}


class GraphTensor(msgspec.Struct, frozen=True, kw_only=True):
    """An input or output; `shape` is None where the graph does not say, and -1 where a size is free."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...] | None


class Graph(msgspec.Struct, frozen=True, kw_only=True):
    """The inputs and outputs of a graph, as a signature may name them."""

    takes: tuple[GraphTensor, ...]
    gives: tuple[GraphTensor, ...]

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        return _tensors(self.takes)

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        return _tensors(self.gives)

    def difference_from(self, signature: Signature) -> Difference | None:
        """Say how a signature differs from the graph."""
        missing = _missing(self.takes, signature.inputs)
        if missing:
            return Difference(field="signature.inputs", detail=f"the graph also takes {', '.join(missing)}")
        for side, promised, held in (
            ("inputs", signature.inputs, self.takes),
            ("outputs", signature.outputs, self.gives),
        ):
            for index, tensor in enumerate(promised):
                node = _counterpart(tensor, promised, held)
                field = f"signature.{side}[{index}]"
                if node is None:
                    names = ", ".join(each.name for each in held)
                    return Difference(field=f"{field}.name", detail=f"the graph's {side} are {names}")
                if node.datatype != tensor.datatype:
                    return Difference(
                        field=f"{field}.datatype", detail=f"{node.name!r} is {node.datatype} in the graph"
                    )
                fits = takes if side == "inputs" else gives
                if node.shape is not None and not fits(tensor.shape, node.shape):
                    return Difference(
                        field=f"{field}.shape", detail=f"{node.name!r} is {list(node.shape)} in the graph"
                    )
        return None


def read_graph(file: BinaryIO, *, start: int, end: int) -> Graph:
    """Read the inputs and outputs of a graph.

    Raises:
        UnservableModelError: one of them is not a tensor, or weights lie in another file.
        MalformedMessageError: it is not a GraphProto.
    """
    weights: set[str] = set()
    given: list[Field] = []
    answered: list[Field] = []
    for count, field in enumerate(fields_of(file, start=start, end=end)):
        if count >= _MAX_FIELDS or len(given) + len(answered) > _MAX_TENSORS:
            raise MalformedMessageError("its graph is too large")
        match field.number:
            case 5:
                weights.add(_weight(file, field))
            case 11:
                given.append(field)
            case 12:
                answered.append(field)
            case _:
                pass
    inputs = [_tensor(file, field) for field in given]
    outputs = tuple(_tensor(file, field) for field in answered)
    # Until IR version 4 weights are inputs, too.
    return Graph(takes=tuple(tensor for tensor in inputs if tensor.name not in weights), gives=outputs)


def _weight(file: BinaryIO, weight: Field) -> str:
    name, location = "", 0
    for field in list(fields_of(file, start=weight.start, end=weight.end)):
        if field.number == _WEIGHT_NAME:
            name = text_of(file, field)
        elif field.number == _WEIGHT_LOCATION and field.wire_type == VARINT:
            location = field.value
    if location == _ELSEWHERE:
        raise UnservableModelError(
            f"the weights {name!r} are stored in another file",
            artifact_format="onnx",
            remedy="save the model in one file: onnx.save_model(model, path, save_as_external_data=False)",
        )
    return name


def _tensor(file: BinaryIO, value: Field) -> GraphTensor:
    name, kind = "", None
    for field in list(fields_of(file, start=value.start, end=value.end)):
        if field.number == _VALUE_NAME:
            name = text_of(file, field)
        elif field.number == _VALUE_TYPE:
            kind = next(iter(fields_of(file, start=field.start, end=field.end)), None)
    if kind is None or kind.number != _TENSOR_TYPE:
        raise UnservableModelError(
            f"{name!r} is a sequence, map or optional value, not a tensor",
            artifact_format="onnx",
            remedy="of skl2onnx, export with options={'zipmap': False}; else let the graph give tensors only",
        )
    datatype, shape = 0, None
    for field in list(fields_of(file, start=kind.start, end=kind.end)):
        if field.number == _ELEMENT and field.wire_type == VARINT:
            datatype = field.value
        elif field.number == _SHAPE:
            shape = _shape(file, field)
    if datatype not in _DATATYPES:
        raise UnservableModelError(
            f"{name!r} is of the data type {datatype} of ONNX, which the Open Inference Protocol lacks",
            artifact_format="onnx",
            remedy="use numbers of the common types, booleans or strings as the graph's inputs and outputs",
        )
    return GraphTensor(name=name, datatype=_DATATYPES[datatype], shape=shape)


def _shape(file: BinaryIO, shape: Field) -> tuple[int, ...]:
    sizes = []
    for dimension in list(fields_of(file, start=shape.start, end=shape.end)):
        if dimension.number == _DIMENSION:
            fields = fields_of(file, start=dimension.start, end=dimension.end)
            sizes.append(next((each.value for each in fields if each.number == _FIXED_SIZE and each.value > 0), -1))
    return tuple(sizes)


def _tensors(held: tuple[GraphTensor, ...]) -> tuple[Tensor, ...]:
    if any(tensor.shape is None for tensor in held):
        return ()
    return tuple(
        Tensor(name=tensor.name, datatype=tensor.datatype, shape=cast("tuple[int, ...]", tensor.shape))
        for tensor in held
    )


def _missing(held: tuple[GraphTensor, ...], promised: tuple[Tensor, ...]) -> list[str]:
    if len(held) == len(promised) == 1:
        return []
    names = {tensor.name for tensor in promised}
    return [tensor.name for tensor in held if tensor.name not in names]


def _counterpart(tensor: Tensor, promised: tuple[Tensor, ...], held: tuple[GraphTensor, ...]) -> GraphTensor | None:
    """Return what the graph calls by this name; an only tensor may have any name."""
    if len(promised) == len(held) == 1:
        return held[0]
    return next((node for node in held if node.name == tensor.name), None)
