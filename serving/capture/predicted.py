"""What a model predicted in one request, as feedback is compared with it."""

from collections.abc import Sequence
from math import isfinite
from typing import TypeAlias

import msgspec

from schemas.events.registry import FLOATS

Value: TypeAlias = bool | int | float | str


class Predicted(msgspec.Struct, frozen=True):
    """The first value of an answer's first output as text, and its data type; both are empty without an answer.

    Where the output names its classes, `other_name` is how else feedback may call the value: an index by the name of
    its class, and a name by its index. Of a score for each class, the value is the index of the highest one;
    scores that are not all finite numbers predict nothing.
    """

    value: str = ""
    datatype: str = ""
    other_name: str = ""


def predicted_of(values: Sequence[Value], *, datatype: str, classes: Sequence[str] = ()) -> Predicted:
    """Return what was predicted by the first values of an output: one, or as many as there are classes."""
    if not values:
        return Predicted()
    if datatype in FLOATS and 0 < len(classes) <= len(values):
        scores = values[: len(classes)]
        if not all(isinstance(score, int | float) and isfinite(score) for score in scores):
            return Predicted()
        highest = max(range(len(classes)), key=scores.__getitem__)
        return Predicted(str(highest), "INT64", classes[highest])
    text = as_text(values[0])
    return Predicted(text, datatype, _other_name(text, datatype, classes))


def as_text(value: Value) -> str:
    """Write a predicted value the way feedback is written: `true`, `3`, `0.25`, `cat`."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _other_name(text: str, datatype: str, classes: Sequence[str]) -> str:
    if datatype == "BYTES":
        return str(classes.index(text)) if text in classes else ""
    index = int(text) if classes and text.isdecimal() else len(classes)
    return classes[index] if index < len(classes) else ""
