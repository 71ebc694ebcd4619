"""What an exported program of torch takes and gives, as its model.json has it."""

from typing import Any

import msgspec

from control_plane.artifacts.shapes import gives, takes
from control_plane.ports import Difference
from schemas.events.registry import FLOATS, Datatype, Signature, Tensor

# torch._export.serde.schema.ScalarType
_DATATYPES: dict[int, Datatype] = {
    1: "UINT8",
    2: "INT8",
    3: "INT16",
    4: "INT32",
    5: "INT64",
    6: "FP16",
    7: "FP32",
    8: "FP64",
    12: "BOOL",
    13: "BF16",
    28: "UINT16",
    34: "UINT32",
    35: "UINT64",
}


class _Argument(msgspec.Struct):
    name: str


class _Value(msgspec.Struct):
    as_tensor: _Argument | None = None


class _Port(msgspec.Struct):
    arg: _Value


class _Specification(msgspec.Struct):
    user_input: _Port | None = None
    user_output: _Port | None = None


class _GraphSignature(msgspec.Struct):
    input_specs: list[_Specification]
    output_specs: list[_Specification]


class _Size(msgspec.Struct):
    as_int: int | None = None


class _TensorValue(msgspec.Struct):
    dtype: int
    sizes: list[_Size]


class _Graph(msgspec.Struct):
    tensor_values: dict[str, _TensorValue]


class _CallSignature(msgspec.Struct):
    out_spec: str


class _Call(msgspec.Struct):
    fqn: str
    signature: _CallSignature | None = None


class _GraphModule(msgspec.Struct):
    graph: _Graph
    signature: _GraphSignature
    module_call_graph: list[_Call]


class TorchProgram(msgspec.Struct, frozen=True, kw_only=True):
    """The inputs and outputs of a program in their order. `has_names` says that its mapping names the outputs."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    has_names: bool

    def difference_from(self, signature: Signature) -> Difference | None:
        """Say how a signature differs from the program; inputs are matched by their order."""
        if len(signature.inputs) != len(self.inputs):
            names = ", ".join(tensor.name for tensor in self.inputs)
            return Difference(field="signature.inputs", detail=f"the program takes {len(self.inputs)} inputs: {names}")
        for index, (promised, held) in enumerate(zip(signature.inputs, self.inputs, strict=True)):
            field = f"signature.inputs[{index}]"
            if promised.datatype != held.datatype:
                return Difference(field=f"{field}.datatype", detail=f"{held.name!r} is {held.datatype} in the program")
            if not takes(promised.shape, held.shape):
                return Difference(field=f"{field}.shape", detail=f"{held.name!r} is {list(held.shape)} in the program")
        return self._other_output(signature)

    def _other_output(self, signature: Signature) -> Difference | None:
        for index, promised in enumerate(signature.outputs):
            field = f"signature.outputs[{index}]"
            held = self._output(promised, index)
            if held is None:
                names = ", ".join(tensor.name for tensor in self.outputs)
                return Difference(field=f"{field}.name", detail=f"the program gives {names}")
            if promised.datatype not in FLOATS and held.datatype in FLOATS:
                return Difference(field=f"{field}.datatype", detail=f"{held.name!r} is {held.datatype} in the program")
            if not gives(promised.shape, held.shape):
                return Difference(field=f"{field}.shape", detail=f"{held.name!r} is {list(held.shape)} in the program")
        return None

    def _output(self, promised: Tensor, index: int) -> Tensor | None:
        if self.has_names:
            return next((tensor for tensor in self.outputs if tensor.name == promised.name), None)
        return self.outputs[index] if index < len(self.outputs) else None


def read_program(graph_module: bytes | msgspec.Raw) -> TorchProgram | None:
    """Read a program; None where it is written in another way than we know, or takes or gives more than tensors."""
    try:
        module = msgspec.json.decode(graph_module, type=_GraphModule)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    values = module.graph.tensor_values
    taken = [_name(spec.user_input) for spec in module.signature.input_specs if spec.user_input]
    given = [_name(spec.user_output) for spec in module.signature.output_specs if spec.user_output]
    names = _names_of_outputs(module, count=len(given))
    called = list(names) if names else ["output"] if len(given) == 1 else [f"output_{n}" for n in range(len(given))]
    inputs = [_tensor(name, values, called=name) for name in taken]
    outputs = [_tensor(name, values, called=own) for name, own in zip(given, called, strict=True)]
    known = tuple(tensor for tensor in (*inputs, *outputs) if tensor is not None)
    if not inputs or not outputs or len(known) < len(inputs) + len(outputs):
        return None
    return TorchProgram(inputs=known[: len(inputs)], outputs=known[len(inputs) :], has_names=names is not None)


def _name(port: _Port) -> str:
    return port.arg.as_tensor.name if port.arg.as_tensor else ""


def _tensor(name: str, values: dict[str, _TensorValue], *, called: str) -> Tensor | None:
    value = values.get(name)
    datatype = _DATATYPES.get(value.dtype) if value else None
    if value is None or datatype is None:
        return None
    shape = tuple(-1 if size.as_int is None else size.as_int for size in value.sizes)
    return Tensor(name=called, datatype=datatype, shape=shape)


def _names_of_outputs(module: _GraphModule, *, count: int) -> tuple[str, ...] | None:
    """Return the keys of the mapping that the program returns; None where it returns no mapping."""
    calls = [call.signature for call in module.module_call_graph if not call.fqn and call.signature]
    try:
        _, specification = msgspec.json.decode(calls[0].out_spec) if calls else (1, {})
        if specification.get("type") != "builtins.dict":
            return None
        names: Any = msgspec.json.decode(specification["context"])
    except (msgspec.DecodeError, AttributeError, KeyError, TypeError, ValueError):
        return None
    is_mapping = isinstance(names, list) and len(names) == count and all(isinstance(name, str) for name in names)
    return tuple(names) if is_mapping else None
