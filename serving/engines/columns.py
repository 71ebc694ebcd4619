"""How the inputs of a signature become the columns of a model: by name if the model knows names."""

from collections.abc import Mapping

import numpy as np

from schemas.events.registry import Tensor
from serving.engines.base import Array
from serving.engines.errors import PredictionFailedError, SignatureMismatchError


def check_widths(inputs: tuple[Tensor, ...], *, columns: int) -> None:
    """Check the number of columns, as far as the signature states it.

    Raises:
        SignatureMismatchError: the model takes a different number.
    """
    sizes = [size for tensor in inputs for size in tensor.shape[1:]]
    promised = sum(int(np.prod(tensor.shape[1:], dtype=np.int64)) for tensor in inputs)
    if not any(size < 0 for size in sizes) and promised != columns:
        raise SignatureMismatchError(f"the signature's inputs have {promised} columns; this model takes {columns}")


def in_order(inputs: tuple[Tensor, ...], names: tuple[str, ...]) -> tuple[Tensor, ...]:
    """Return several inputs in the order of the model's columns, if they have the columns' names.

    Raises:
        SignatureMismatchError: they only have some of the names.
    """
    given = {tensor.name: tensor for tensor in inputs}
    if set(given) == set(names):
        return tuple(given[name] for name in names)
    if len(inputs) == len(names) or set(given) & set(names):
        raise SignatureMismatchError(
            f"the signature's inputs are {', '.join(given)}; this model was fitted on columns named {', '.join(names)}"
        )
    return inputs


def blocks_of(inputs: Mapping[str, Array], order: tuple[Tensor, ...]) -> list[Array]:
    """Return the inputs as matrices with the same number of rows.

    Raises:
        PredictionFailedError: they have different numbers of rows.
    """
    blocks = [_two_dimensional(inputs[tensor.name]) for tensor in order]
    counts = {len(block) for block in blocks}
    if len(counts) > 1:
        raise PredictionFailedError(f"the inputs have different numbers of rows: {sorted(counts)}")
    return blocks


def _two_dimensional(array: Array) -> Array:
    if array.ndim == 0:
        return array.reshape(1, 1)
    return array.reshape(len(array), -1) if len(array) else array.reshape(0, int(np.prod(array.shape[1:])))
