"""What the file of a gradient-boosting library tells of its model, and the signature that follows."""

import msgspec

from schemas.events.registry import Datatype, Tensor

_MAX_INPUTS = 64
_MAX_NAME_LENGTH = 200


class BoostedModel(msgspec.Struct, frozen=True, kw_only=True):
    """`library` is for people; `outputs` are all that the model gives.

    `names` are those of the columns, where the file has them.
    """

    library: str
    columns: int
    datatype: Datatype
    outputs: tuple[Tensor, ...]
    names: tuple[str, ...] = ()

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """An input for each named column; one for all where there are no names, or too many."""
        names = self.names
        fits = len(set(names)) == len(names) <= _MAX_INPUTS and all(0 < len(name) <= _MAX_NAME_LENGTH for name in names)
        if names and fits:
            return tuple(Tensor(name=name, datatype=self.datatype, shape=(-1,)) for name in names)
        return (Tensor(name="x", datatype=self.datatype, shape=(-1, self.columns)),)


def classification(*, classes: int) -> tuple[Tensor, ...]:
    """Return the outputs of a model that knows how likely each class is."""
    return (
        Tensor(name="label", datatype="INT64", shape=(-1,)),
        Tensor(name="probabilities", datatype="FP32", shape=(-1, classes)),
    )


def regression(*, targets: int, datatype: Datatype) -> tuple[Tensor, ...]:
    """Return the output of a model that predicts numbers."""
    return (Tensor(name="value", datatype=datatype, shape=(-1,) if targets == 1 else (-1, targets)),)
