"""Reads objects out of the schema.json of a skops file: names, numbers and the forms of arrays, and the types in it."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import msgspec

Node: TypeAlias = Mapping[str, Any]

_DTYPE = re.compile(rb"'descr': *'[<>|=]?(?P<kind>[a-zA-Z])(?P<bytes>\d*)'")
_SHAPE = re.compile(rb"'shape': *\((?P<sizes>[\d, ]*)\)")


class ArrayForm(msgspec.Struct, frozen=True):
    """An array as numpy tells it: kind (`i`, `f`, `U` …) and bytes of an element, and its shape."""

    kind: str
    element_bytes: int
    shape: tuple[int, ...]


class Schema:
    """A tree of nodes, of which a part may stand in more than one place by its id."""

    def __init__(self, document: Node, headers: Mapping[str, bytes]) -> None:
        self.root = document
        self._headers = headers
        self._by_id = {node["__id__"]: node for node in self.nodes() if "__id__" in node and "content" in node}

    def nodes(self) -> Iterator[Node]:
        """Yield every node that names a type."""
        waiting: list[Any] = [self.root]
        while waiting:
            value = waiting.pop()
            if isinstance(value, dict):
                if isinstance(value.get("__class__"), str):
                    yield value
                waiting.extend(value.values())
            elif isinstance(value, list):
                waiting.extend(value)

    def attribute(self, node: Node, name: str) -> Node | None:
        """Return what an object holds under a name."""
        held = self._content(node)
        return self.member(held, name) if isinstance(held, dict) else None

    def names(self, node: Node) -> tuple[str, ...]:
        """Return the names under which an object holds anything."""
        state = self._content(node)
        held = self._content(state) if isinstance(state, dict) else None
        return tuple(held) if isinstance(held, dict) else ()

    def member(self, node: Node | None, key: str) -> Node | None:
        """Return what a dictionary holds under a key."""
        held = self._content(node) if node else None
        found = held.get(key) if isinstance(held, dict) else None
        return found if isinstance(found, dict) else None

    def items(self, node: Node | None) -> list[Node]:
        """Return the parts of a list or tuple."""
        held = self._content(node) if node else None
        return [part for part in held if isinstance(part, dict)] if isinstance(held, list) else []

    def value(self, node: Node | None) -> Any:  # noqa: ANN401 - any JSON
        """Return a number, text or truth value; None where it is none."""
        held = self._content(node) if node else None
        if not isinstance(held, str):
            return None
        try:
            return msgspec.json.decode(held)
        except (msgspec.DecodeError, RecursionError):
            return None

    def form(self, node: Node | None) -> ArrayForm | None:
        """Return the form of an array; of one that holds objects, that of texts if it holds nothing else."""
        if not node:
            return None
        header = self._headers.get(str(node.get("file")))
        if header is not None:
            return _form(header)
        if node.get("type") != "json":
            return None
        parts = [self.value(part) for part in self.items(node)]
        return ArrayForm("U", 0, (len(parts),)) if parts and all(isinstance(part, str) for part in parts) else None

    def _content(self, node: Node) -> Any:  # noqa: ANN401 - any JSON
        if "content" not in node and node.get("__id__") in self._by_id:
            node = self._by_id[node["__id__"]]
        return node.get("content")


def type_of(node: Node | None) -> str:
    """Return the type that a node names, with its module."""
    return f"{node.get('__module__')}.{node.get('__class__')}" if node else ""


def _form(header: bytes) -> ArrayForm | None:
    dtype, shape = _DTYPE.search(header), _SHAPE.search(header)
    if dtype is None or shape is None:
        return None
    sizes = tuple(int(size) for size in shape["sizes"].split(b",") if size.strip())
    return ArrayForm(dtype["kind"].decode(), int(dtype["bytes"] or 0), sizes)
