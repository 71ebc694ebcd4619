"""Walks over the fields of one protobuf message in a file; what a field holds is skipped unread."""

import os
from collections.abc import Iterator
from typing import BinaryIO

import msgspec

VARINT, FIXED_64, LENGTH, FIXED_32 = 0, 1, 2, 5
_MAX_VARINT_BYTES = 10
_MAX_TEXT_BYTES = 4096


class MalformedMessageError(Exception):
    """The bytes are not a message; the text is the reason."""


class Field(msgspec.Struct, frozen=True):
    """A field's number and wire type; for a varint its value, for anything else its place in the file."""

    number: int
    wire_type: int
    value: int
    start: int

    @property
    def end(self) -> int:
        return self.start + self.value


def fields_of(file: BinaryIO, *, start: int, end: int) -> Iterator[Field]:
    """Yield the fields of the message between two places; the file may be moved between two of them.

    Raises:
        MalformedMessageError: a field does not end, or ends behind the message.
    """
    position = start
    while position < end:
        file.seek(position)
        key = _varint(file)
        wire_type = key & 0x7
        match wire_type:
            case 0:
                value = _varint(file)
                found = Field(key >> 3, wire_type, value, file.tell())
                position = found.start
            case 1 | 2 | 5:
                size = _varint(file) if wire_type == LENGTH else {FIXED_64: 8, FIXED_32: 4}[wire_type]
                found = Field(key >> 3, wire_type, size, file.tell())
                position = found.end
            case _:
                raise MalformedMessageError("it has an invalid field")
        if position > end:
            raise MalformedMessageError("it is cut short")
        yield found


def text_of(file: BinaryIO, field: Field) -> str:
    """Return a field's text.

    Raises:
        MalformedMessageError: it is none, or longer than any name.
    """
    if field.wire_type != LENGTH or field.value > _MAX_TEXT_BYTES:
        raise MalformedMessageError("a name in it is too long")
    file.seek(field.start)
    try:
        return file.read(field.value).decode()
    except UnicodeDecodeError as error:
        raise MalformedMessageError("a name in it is not text") from error


def size_of(file: BinaryIO) -> int:
    """Return how many bytes a file has."""
    return file.seek(0, os.SEEK_END)


def _varint(file: BinaryIO) -> int:
    value = 0
    for index in range(_MAX_VARINT_BYTES):
        byte = file.read(1)
        if not byte:
            raise MalformedMessageError("it is cut short")
        value |= (byte[0] & 0x7F) << (7 * index)
        if byte[0] < 0x80:  # noqa: PLR2004  the continuation bit
            return value
    raise MalformedMessageError("a number in it is too long")
