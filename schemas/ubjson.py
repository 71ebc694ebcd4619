"""Reads Universal Binary JSON (draft 12, big-endian), as far as XGBoost writes it."""

import struct
import sys
from array import array
from typing import Any

_TYPES = {b"i": "b", b"U": "B", b"I": "h", b"l": "i", b"L": "q", b"d": "f", b"D": "d"}
"""Marker → type code of `array` and `struct`; both have these sizes on every platform that we run on."""
_MAX_DEPTH = 64


def decode(content: bytes) -> Any:  # noqa: ANN401 - any document
    """Read one value, which must be the whole content. Arrays of one type become `array.array`.

    Raises:
        ValueError: it is not valid, or continues after its end.
    """
    reader = _Reader(content)
    value = reader.value(reader.marker())
    if not reader.is_at_end:
        raise ValueError("there is data after the end of the document")
    return value


class _Reader:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self._offset = 0
        self._depth = 0

    @property
    def is_at_end(self) -> bool:
        return self._offset == len(self._content)

    def marker(self) -> bytes:
        return self._take(1)

    def value(self, marker: bytes) -> Any:  # noqa: ANN401 - any value
        match marker:
            case b"{" | b"[":
                self._depth += 1
                if self._depth > _MAX_DEPTH:
                    raise ValueError("the document is nested too deeply")
                value = self._object() if marker == b"{" else self._array()
                self._depth -= 1
                return value
            case b"S":
                return self._text()
            case b"T" | b"F":
                return marker == b"T"
            case b"Z":
                return None
            case _ if marker in _TYPES:
                return self._number(marker)
            case _:
                raise ValueError(f"no value begins with {marker!r}")

    def _object(self) -> dict[str, Any]:
        members: dict[str, Any] = {}
        while (marker := self.marker()) != b"}":
            name = self._text(marker)
            if name in members:
                raise ValueError(f"two members are called {name[:100]!r}")
            members[name] = self.value(self.marker())
        return members

    def _array(self) -> Any:  # noqa: ANN401 - a list or an array
        marker = self.marker()
        if marker == b"$":
            return self._packed(self.marker())
        if marker == b"#":
            # Each value takes a byte at least, so that a false count ends with the content.
            return [self.value(self.marker()) for _ in range(self._size(self.marker()))]
        values = []
        while marker != b"]":
            values.append(self.value(marker))
            marker = self.marker()
        return values

    def _packed(self, marker: bytes) -> Any:  # noqa: ANN401 - an array
        if marker not in _TYPES or self.marker() != b"#":
            raise ValueError("a typed array has the wrong form")
        values: Any = array(_TYPES[marker])
        values.frombytes(self._take(self._size(self.marker()) * values.itemsize))
        if sys.byteorder == "little":
            values.byteswap()
        return values

    def _text(self, marker: bytes | None = None) -> str:
        return self._take(self._size(self.marker() if marker is None else marker)).decode()

    def _size(self, marker: bytes) -> int:
        size = self._number(marker)
        if not isinstance(size, int) or size < 0:
            raise ValueError("a size is not valid")
        return size

    def _number(self, marker: bytes) -> float:
        if marker not in _TYPES:
            raise ValueError(f"no number begins with {marker!r}")
        layout = f">{_TYPES[marker]}"
        number: float = struct.unpack(layout, self._take(struct.calcsize(layout)))[0]
        return number

    def _take(self, size: int) -> bytes:
        start, self._offset = self._offset, self._offset + size
        if self._offset > len(self._content):
            raise ValueError("the document ends early")
        return self._content[start : self._offset]
