"""Walks over the outermost fields of an ONNX file, a protobuf `ModelProto`; the graph itself is skipped unread."""

import os
from collections.abc import Iterator
from typing import BinaryIO

from control_plane.artifacts.errors import NotAModelError

_VARINT, _LENGTH = 0, 2
_LONGEST_VARINT = 10
_NEWEST_IR_VERSION = 100
# A file of millions of empty fields would keep a core busy for minutes.
_MOST_FIELDS = 100_000
# Field number → wire type, by onnx.proto: ir_version, producer name and version, domain, model_version, doc_string,
# graph, opset_import, metadata_props, training_info, functions, configuration.
_FIELDS = {1: _VARINT, 2: 2, 3: 2, 4: 2, 5: _VARINT, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
_IR_VERSION, _GRAPH, _OPSET_IMPORT = 1, 7, 8


def check_onnx(file: BinaryIO) -> None:
    """Refuse a file that is no ModelProto.

    Raises:
        NotAModelError: with the reason.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    seen: dict[int, int] = {}
    for count, (number, value) in enumerate(_fields(file, size)):
        if count >= _MOST_FIELDS:
            raise _refusal("it has more fields than any model")
        if number == _IR_VERSION and not 1 <= value <= _NEWEST_IR_VERSION:
            raise _refusal("its IR version is none that ONNX ever had")
        seen[number] = value
    for number, name in ((_IR_VERSION, "IR version"), (_GRAPH, "graph"), (_OPSET_IMPORT, "operator set")):
        if not seen.get(number):
            raise _refusal(f"it has no {name}")


def _fields(file: BinaryIO, size: int) -> Iterator[tuple[int, int]]:
    """Yield field numbers with their value; of a message or a text, its length."""
    while file.tell() < size:
        key = _varint(file)
        number, wire_type = key >> 3, key & 0x7
        if _FIELDS.get(number) != wire_type:
            raise _refusal("it has a field that no ModelProto has")
        value = _varint(file)
        if wire_type == _LENGTH:
            if file.tell() + value > size:
                raise _refusal("it is cut short")
            file.seek(value, os.SEEK_CUR)
        yield number, value


def _varint(file: BinaryIO) -> int:
    value = 0
    for index in range(_LONGEST_VARINT):
        byte = file.read(1)
        if not byte:
            raise _refusal("it is cut short")
        value |= (byte[0] & 0x7F) << (7 * index)
        if byte[0] < 0x80:  # noqa: PLR2004  the continuation bit
            return value
    raise _refusal("a number in it is too long")


def _refusal(reason: str) -> NotAModelError:
    return NotAModelError(artifact_format="onnx", reason=reason)
