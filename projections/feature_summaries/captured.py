"""Reads what was captured of a request: tensors by name, each laid out as rows of equally many values.

Nothing here raises: what cannot be read is counted, for the tensor alone if the rest of the document can be.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any, Literal, TypeAlias

import msgspec

Content: TypeAlias = Literal["numbers", "texts", "truths"]

MAX_CUT = 2**31
"""A shape may claim any number of rows, and counts have to fit their columns."""


class Tensor(msgspec.Struct, frozen=True, gc=False):
    """A tensor as `serving.capture.policy` writes it. Without data it was hashed, or is not a tensor.

    JSON has no cycles, so nothing is left to the garbage collector, which would look at millions of them.
    """

    datatype: str = ""
    shape: tuple[int, ...] = ()
    data: Any = None
    truncated: bool = False


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """The whole rows of a tensor one after the other, how many more were cut off, and how many cannot be read."""

    values: Sequence[Any] = ()
    cut: int = 0
    unreadable: int = 0


NUMERIC = frozenset(
    {"FP16", "FP32", "FP64", "BF16", *(f"{kind}{bits}" for kind in ("INT", "UINT") for bits in (8, 16, 32, 64))}
)
"""The data types of numbers, as the Open Inference Protocol names them."""

_CONTENT: Mapping[str, Content] = {"BYTES": "texts", "BOOL": "truths", **dict.fromkeys(NUMERIC, "numbers")}
_documents = msgspec.json.Decoder(dict[str, Tensor])
_parts = msgspec.json.Decoder(dict[str, msgspec.Raw])
_tensors = msgspec.json.Decoder(Tensor)
_UNREADABLE = (msgspec.DecodeError, RecursionError, UnicodeError)


def tensors_in(document: str) -> Mapping[str, Tensor | None] | None:
    """Return the tensors by name, None in the place of one that cannot be read, or None if nothing can be."""
    try:
        return _documents.decode(document)
    except _UNREADABLE:
        return _each_tensor_in(document)


def _each_tensor_in(document: str) -> Mapping[str, Tensor | None] | None:
    try:
        parts = _parts.decode(document)
    except _UNREADABLE:
        return None
    return {name: _tensor_in(part) for name, part in parts.items()}


def _tensor_in(part: msgspec.Raw) -> Tensor | None:
    try:
        return _tensors.decode(part)
    except _UNREADABLE:
        return None


def content_of(tensor: Tensor) -> Content:
    """Return what a tensor holds: what its data type says or, if that is unknown, what its first value is."""
    known = _CONTENT.get(tensor.datatype)
    if known is not None:
        return known
    first = next((leaf for leaf in _leaves(tensor.data) if leaf is not None), None)
    match first:
        case bool():
            return "truths"
        case str():
            return "texts"
        case _:
            return "numbers"


def width_of(shape: Sequence[int]) -> int:
    """Return how many values a row has: the first dimension counts the rows."""
    return prod(shape[1:])


def laid_out(tensor: Tensor) -> Layout:
    """Return the rows of a tensor that has data, flat or nested. Those of a wrong length cannot be read."""
    rows, width = tensor.shape[0] if tensor.shape else 1, width_of(tensor.shape)
    if rows < 0 or width < 0 or any(size < 0 for size in tensor.shape):
        return Layout(unreadable=1)
    data = tensor.data if isinstance(tensor.data, list) else [tensor.data]
    if not any(isinstance(part, list) for part in data):
        return _of_flat(data, rows=rows, width=width, is_truncated=tensor.truncated)
    if len(data) == rows and not tensor.truncated:
        return _of_nested(data, width=width)
    return _of_flat(list(_leaves(data)), rows=rows, width=width, is_truncated=tensor.truncated)


def _of_flat(values: list[Any], *, rows: int, width: int, is_truncated: bool) -> Layout:
    if not is_truncated:
        fits = len(values) == rows * width
        return Layout(values=values) if fits else Layout(unreadable=min(max(rows, 1), MAX_CUT))
    # The text of a language model is cut inside its only value, tensors are cut between two.
    whole = max(min(len(values) // width if width else 0, rows - 1), 0)
    return Layout(values=values[: whole * width], cut=min(rows - whole, MAX_CUT))


def _of_nested(data: list[Any], *, width: int) -> Layout:
    rows = [list(_leaves(part)) for part in data]
    fitting = [value for row in rows if len(row) == width for value in row]
    return Layout(values=fitting, unreadable=sum(len(row) != width for row in rows))


def _leaves(data: object) -> Iterator[Any]:
    """Yield the values in their order. What is nested a thousand deep is read too, so nothing here calls itself."""
    waiting = [iter([data])]
    while waiting:
        for part in waiting[-1]:
            if isinstance(part, list):
                waiting.append(iter(part))
                break
            yield part
        else:
            waiting.pop()
