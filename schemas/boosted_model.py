"""What the file of a gradient-boosting library says of its model, and the signature that follows."""

import math
from collections.abc import Iterator
from itertools import groupby

import msgspec

from schemas.events.registry import Datatype, Tensor

_OF_CATEGORIES = frozenset({"BYTES", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"})
_MAX_INPUTS = 64
_MAX_NAME_LENGTH = 200


class BoostedModel(msgspec.Struct, frozen=True, kw_only=True):
    """`library` is for people; `outputs` are all that the model gives.

    `names` are those of the columns, where the file has them. `categorical` are the columns that take categories as
    they are, texts or whole numbers; where a library takes their codes, they are numbers like any others.
    """

    library: str
    columns: int
    datatype: Datatype
    outputs: tuple[Tensor, ...]
    names: tuple[str, ...] = ()
    categorical: frozenset[int] = frozenset()

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """An input for each named column; where there are no names, or too many, one for columns of the same kind."""
        names = self.names
        fits = len(set(names)) == len(names) <= _MAX_INPUTS and all(0 < len(name) <= _MAX_NAME_LENGTH for name in names)
        if names and fits:
            return tuple(
                Tensor(name=name, datatype=self._datatype_of(column), shape=(-1,)) for column, name in enumerate(names)
            )
        if not self.categorical:
            return (Tensor(name="x", datatype=self.datatype, shape=(-1, self.columns)),)
        return tuple(self._runs())

    def misfit(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, str] | None:
        """Return the first input whose data type its columns cannot take, and why not.

        Inputs that do not have the names of the columns follow their order; those after one of a free width may be any.
        """
        start, named = 0, {tensor.name: tensor for tensor in inputs}
        for tensor in [named[name] for name in self.names] if named.keys() == set(self.names) else inputs:
            width = math.prod(tensor.shape[1:])
            is_known = all(size >= 0 for size in tensor.shape[1:])
            reason = self._misfit(tensor, range(start, start + width) if is_known else None)
            if reason:
                return tensor, reason
            if not is_known and self.categorical:
                return None
            start += width
        return None

    def _misfit(self, tensor: Tensor, columns: range | None) -> str | None:
        if not self.categorical:
            return f"a model of {self.library} takes numbers" if tensor.datatype == "BYTES" else None
        kinds = {column in self.categorical for column in columns or ()}
        if True in kinds and tensor.datatype not in _OF_CATEGORIES:
            return "this column of the model takes categories, as BYTES or, if they are whole numbers, as INT64"
        if False in kinds and tensor.datatype == "BYTES":
            return "this column of the model takes numbers"
        return None

    def _datatype_of(self, column: int) -> Datatype:
        return "BYTES" if column in self.categorical else self.datatype

    def _runs(self) -> Iterator[Tensor]:
        for datatype, run in groupby(range(self.columns), key=self._datatype_of):
            columns = tuple(run)
            yield Tensor(name=f"x{columns[0]}", datatype=datatype, shape=(-1, len(columns)))


def classification(*, classes: int) -> tuple[Tensor, ...]:
    """Return the outputs of a model that knows how likely each class is."""
    return (
        Tensor(name="label", datatype="INT64", shape=(-1,)),
        Tensor(name="probabilities", datatype="FP32", shape=(-1, classes)),
    )


def regression(*, targets: int, datatype: Datatype) -> tuple[Tensor, ...]:
    """Return the output of a model that predicts numbers."""
    return (Tensor(name="value", datatype=datatype, shape=(-1,) if targets == 1 else (-1, targets)),)
