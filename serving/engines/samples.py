"""Makes up inputs from a signature alone."""

from collections.abc import Iterator

import numpy as np

from schemas.events.registry import Signature, Tensor
from serving.engines.base import DTYPES, Array, Tensors


def constant_inputs(signature: Signature) -> Iterator[Tensors]:
    """Yield one-row inputs of zeros and of ones; free sizes are 1."""
    for number, text in ((0, ""), (1, "a")):
        yield {
            tensor.name: _filled(tensor, text if tensor.datatype == "BYTES" else number) for tensor in signature.inputs
        }


def _filled(tensor: Tensor, value: float | str) -> Array:
    return np.full(tuple(1 if size < 0 else size for size in tensor.shape), value, dtype=DTYPES[tensor.datatype])
