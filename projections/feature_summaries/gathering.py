"""Gathers the values of a batch, tensor by tensor, so that they can be summarised all at once."""

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from math import prod
from typing import Any, NamedTuple

from projections.feature_summaries import names
from projections.feature_summaries.captured import (
    NUMERIC,
    Content,
    Layout,
    Tensor,
    content_of,
    laid_out,
    tensors_in,
    width_of,
)

MAX_COLUMNS = 64
"""A wider tensor of numbers is stored as numbers that stand for its rows, one of texts as one feature."""

_TRUTHS: dict[int, str] = {True: "true", False: "false"}


class Key(NamedTuple):
    """Which tensor of which scope; `width` is how many values a row has."""

    scope: int
    side: str
    tensor: str
    content: Content
    width: int


class Gathered:
    """What a batch has of one tensor, row after row. A missing number is NaN, a missing text is None.

    `unreadable` counts values by column, which are among the missing numbers; `unreadable_rows` are nowhere else.
    """

    def __init__(self) -> None:
        self.numbers = array("d")
        self.texts: list[str | None] = []
        self.unreadable: Counter[int] = Counter()
        self.unreadable_rows = 0
        self.cut = 0

    def add_number(self, value: Any, column: int) -> None:  # noqa: ANN401  any JSON
        """Add a value that may be none; larger integers than floats can be are none either."""
        if value is None:
            self.numbers.append(float("nan"))
            return
        try:
            self.numbers.append(value)
        except (TypeError, OverflowError):
            self.numbers.append(float("nan"))
            self.unreadable[column] += 1

    def add_text(self, value: Any, column: int) -> None:  # noqa: ANN401  any JSON
        """Add a text that may be none."""
        is_readable = value is None or isinstance(value, str)
        self.texts.append(value if is_readable else None)
        self.unreadable[column] += not is_readable

    def add_truth(self, value: Any, column: int) -> None:  # noqa: ANN401  any JSON
        """Add a truth value, which may be written as 0 or 1, as a text."""
        text = _TRUTHS.get(value) if isinstance(value, bool | int) else None
        self.texts.append(text)
        self.unreadable[column] += text is None and value is not None


class Gathering:
    """The tensors of all scopes of a batch. A scope is a number that the caller gives."""

    def __init__(self) -> None:
        self.tensors: dict[Key, Gathered] = {}
        self.unreadable_documents: Counter[int] = Counter()
        self.unreadable_tensors: Counter[tuple[int, str]] = Counter()
        # By tensor, data type and shape: where its numbers go, how many there are, and how many in a row.
        self._takings: dict[tuple[int, str, str, str, tuple[int, ...]], tuple[array[float], int, int]] = {}

    def add(self, scope: int, side: str, document: str) -> None:
        """Add what was captured of the inputs or outputs of a request; nothing, if it was withheld."""
        if not document:
            return
        found = tensors_in(document)
        if found is None:
            self.unreadable_documents[scope] += 1
            return
        for name, tensor in found.items():
            if tensor is None:
                self.unreadable_tensors[scope, names.of_tensor(side, name)] += 1
            elif tensor.data is not None and not self._took_numbers(scope, side, name, tensor):
                self._add(Key(scope, side, name, content_of(tensor), width_of(tensor.shape)), tensor)

    def add_number(self, scope: int, feature: str, value: float) -> None:
        """Add a number that is a column of the batch."""
        self._of(Key(scope, "", feature, "numbers", 1)).numbers.append(value)

    def add_text(self, scope: int, feature: str, value: str) -> None:
        """Add a text that is a column of the batch, and a category whatever its length."""
        self._of(Key(scope, "", feature, "truths", 1)).texts.append(value)

    def _of(self, key: Key) -> Gathered:
        gathered = self.tensors.get(key)
        if gathered is None:
            gathered = self.tensors[key] = Gathered()
        return gathered

    def _took_numbers(self, scope: int, side: str, name: str, tensor: Tensor) -> bool:
        """Take a tensor of which nothing needs a second look, as most are."""
        shape, data = tensor.shape, tensor.data
        form = (scope, side, name, tensor.datatype, shape)
        taking = self._takings.get(form)
        if taking is None:
            if tensor.datatype not in NUMERIC or not shape or min(shape) < 0:
                return False
            key = Key(scope, side, name, "numbers", width_of(shape))
            taking = self._takings[form] = (self._of(key).numbers, prod(shape), key.width)
        numbers, size, width = taking
        if type(data) is not list or tensor.truncated:
            return False
        before = len(numbers)
        try:
            if data and type(data[0]) is list:
                _take_nested(numbers, data, width)
            else:
                numbers.fromlist(data)
        except (TypeError, OverflowError):
            del numbers[before:]
            return False
        if len(numbers) == before + size:
            return True
        del numbers[before:]
        return False

    def _add(self, key: Key, tensor: Tensor) -> None:
        gathered, layout = self._of(key), laid_out(tensor)
        gathered.cut += layout.cut
        gathered.unreadable_rows += layout.unreadable
        if key.content == "numbers" and key.width > MAX_COLUMNS:
            self._add_wide(gathered, layout, key.width)
            return
        add = {"numbers": gathered.add_number, "texts": gathered.add_text, "truths": gathered.add_truth}[key.content]
        for place, value in enumerate(layout.values):
            add(value, place % key.width)

    @staticmethod
    def _add_wide(gathered: Gathered, layout: Layout, width: int) -> None:
        for row in _rows(layout.values, width):
            before = len(gathered.numbers)
            for value in row:
                gathered.add_number(value, 0)
            if gathered.unreadable[0]:
                gathered.unreadable[0] = 0
                gathered.unreadable_rows += 1
                del gathered.numbers[before:]


def _take_nested(numbers: "array[float]", data: list[Any], width: int) -> None:
    for row in data:
        if len(row) == width:
            numbers.fromlist(row)


def _rows(values: Sequence[Any], width: int) -> Iterator[Sequence[Any]]:
    for begin in range(0, len(values), width):
        yield values[begin : begin + width]
