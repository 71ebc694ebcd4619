"""Looks at an ONNX file, a protobuf `ModelProto`, from outside: its versions, and what its graph takes and gives."""

from typing import BinaryIO

from control_plane.artifacts.errors import NotAModelError, UnservableModelError
from control_plane.artifacts.onnx_graph import Graph, read_graph
from control_plane.artifacts.protobuf_fields import (
    LENGTH,
    VARINT,
    Field,
    MalformedMessageError,
    fields_of,
    size_of,
    text_of,
)

MAX_IR_VERSION = 14
MAX_OPERATOR_SET_VERSIONS = {"": 28, "ai.onnx": 28, "ai.onnx.ml": 5}
"""What the ONNX Runtime runs that an agent installs with the extra; a test asks it."""
_IR_VERSIONS = range(1, 101)
# A file of millions of empty fields would keep a core busy for minutes.
_MAX_FIELDS = 100_000
# Field number → wire type, by onnx.proto: ir_version, producer name and version, domain, model_version, doc_string,
# graph, opset_import, metadata_props, training_info, functions, configuration.
_FIELDS = {1: VARINT, 2: 2, 3: 2, 4: 2, 5: VARINT, 6: 2, 7: LENGTH, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
_IR_VERSION, _GRAPH, _OPSET_IMPORT = 1, 7, 8
_DOMAIN, _VERSION = 1, 2


def check_onnx(file: BinaryIO) -> Graph:
    """Return what the graph takes and gives.

    Raises:
        NotAModelError: the file is not a ModelProto.
        UnservableModelError: it is one, and no engine runs it.
    """
    try:
        return _checked(file)
    except MalformedMessageError as error:
        raise _refusal(str(error)) from error


def _checked(file: BinaryIO) -> Graph:
    ir_version, graph, operator_sets = _outermost_fields(file)
    if not ir_version:
        raise _refusal("it has no IR version")
    if graph is None:
        raise _refusal("it has no graph")
    if not operator_sets:
        raise _refusal("it has no operator set")
    if ir_version > MAX_IR_VERSION:
        raise _too_new(f"its IR version is {ir_version}; the newest that runs is {MAX_IR_VERSION}")
    for field in operator_sets:
        _check_operator_set(file, start=field.start, end=field.end)
    return read_graph(file, start=graph.start, end=graph.end)


def _outermost_fields(file: BinaryIO) -> tuple[int, Field | None, list[Field]]:
    """Return the IR version, the graph and the operator sets."""
    found: dict[int, list[Field]] = {_IR_VERSION: [], _GRAPH: [], _OPSET_IMPORT: []}
    for count, field in enumerate(fields_of(file, start=0, end=size_of(file))):
        if _FIELDS.get(field.number) != field.wire_type:
            raise _refusal("it has a field that ModelProto does not define")
        if count >= _MAX_FIELDS:
            raise _refusal("it has too many fields for a model")
        if field.number == _IR_VERSION and field.value not in _IR_VERSIONS:
            raise _refusal("its IR version does not exist in ONNX")
        if field.number in found and field.value:
            found[field.number].append(field)
    versions, graphs, operator_sets = found.values()
    return versions[-1].value if versions else 0, graphs[-1] if graphs else None, operator_sets


def _check_operator_set(file: BinaryIO, *, start: int, end: int) -> None:
    domain, version = "", 0
    for field in list(fields_of(file, start=start, end=end)):
        if field.number == _DOMAIN:
            domain = text_of(file, field)
        elif field.number == _VERSION and field.wire_type == VARINT:
            version = field.value
    newest = MAX_OPERATOR_SET_VERSIONS.get(domain)
    if newest is not None and version > newest:
        name = domain or "ai.onnx"
        raise _too_new(f"it needs version {version} of the operators {name}; the newest that runs is {newest}")


def _too_new(detail: str) -> UnservableModelError:
    remedy = "export it again for an older version (opset_version of torch.onnx.export, target_opset of skl2onnx)"
    return UnservableModelError(detail, artifact_format="onnx", remedy=remedy)


def _refusal(reason: str) -> NotAModelError:
    return NotAModelError(artifact_format="onnx", reason=reason)
