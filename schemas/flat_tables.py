"""Reads FlatBuffers, a binary format of tables that point to each other, without ever leaving their bytes."""

import struct
from typing import Any, Literal, TypeAlias

Form: TypeAlias = Literal["b", "B", "h", "H", "i", "I", "f", "d"]
"""The types of numbers, as the module `struct` calls them."""

_VTABLE_HEADER = 4
# Several tables may share a value, but a file that makes us read it again and again was built to use up memory.
_MAX_READS_OF_A_BYTE = 8


class _Content:
    def __init__(self, content: bytes | memoryview) -> None:
        self._view = memoryview(content)
        self._left = len(content) * _MAX_READS_OF_A_BYTE

    def number(self, form: Form, start: int) -> float:
        number: float = struct.unpack(f"<{form}", self.part(start, struct.calcsize(f"<{form}")))[0]
        return number

    def whole(self, form: Form, start: int) -> int:
        return int(self.number(form, start))

    def part(self, start: int, size: int) -> memoryview:
        self._left -= size
        if start < 0 or start + size > len(self._view) or self._left < 0:
            raise ValueError("it points outside itself, or to the same bytes too often")
        return self._view[start : start + size]


class FlatTable:
    """One table. Fields are numbered in the order of the schema; one that the file leaves out has its default.

    Every method raises ValueError where the table leads out of the file.
    """

    def __init__(self, content: _Content, start: int) -> None:
        self._content = content
        self._start = start
        self._vtable = start - content.whole("i", start)
        self._vtable_size = content.whole("H", self._vtable)

    @classmethod
    def root_of(cls, content: bytes | memoryview) -> "FlatTable":
        """Return the table that a file begins with."""
        whole = _Content(content)
        return cls(whole, whole.whole("I", 0))

    def has(self, field: int) -> bool:
        """Return whether the file holds a field."""
        return self._place(field) is not None

    def number(self, field: int, form: Form, default: float = 0) -> float:
        """Return a number."""
        place = self._place(field)
        return default if place is None else self._content.number(form, place)

    def whole(self, field: int, form: Form = "i", default: int = 0) -> int:
        """Return a whole number."""
        return int(self.number(field, form, default))

    def text(self, field: int) -> str:
        """Return a text, empty by default."""
        return bytes(self.values(field, "B")).decode()

    def table(self, field: int) -> "FlatTable":
        """Return a table, which has no default."""
        place = self._place(field)
        if place is None:
            raise ValueError("a part of it is missing")
        return FlatTable(self._content, self._target(place))

    def tables(self, field: int) -> "list[FlatTable]":
        """Return the tables of a list, empty by default."""
        return [FlatTable(self._content, self._target(place)) for place in self._places(field)]

    def texts(self, field: int) -> list[str]:
        """Return the texts of a list, empty by default."""
        return [bytes(self._vector(self._target(place), "B", 1)).decode() for place in self._places(field)]

    def values(self, field: int, form: Form, *, width: int = 1) -> "memoryview[Any]":
        """Return a list of numbers, empty by default; `width` is how many an element has."""
        place = self._place(field)
        return self._vector(self._target(place), form, width) if place is not None else memoryview(b"").cast(form)

    def _place(self, field: int) -> int | None:
        entry = _VTABLE_HEADER + 2 * field
        offset = self._content.whole("H", self._vtable + entry) if entry + 2 <= self._vtable_size else 0
        return self._start + offset if offset else None

    def _places(self, field: int) -> range:
        place = self._place(field)
        if place is None:
            return range(0)
        start = self._target(place)
        count = len(self._vector(start, "I", 1))
        return range(start + 4, start + 4 + 4 * count, 4)

    def _target(self, place: int) -> int:
        return place + self._content.whole("I", place)

    def _vector(self, start: int, form: Form, width: int) -> "memoryview[Any]":
        size = self._content.whole("I", start) * width * struct.calcsize(f"<{form}")
        return self._content.part(start + 4, size).cast(form)
