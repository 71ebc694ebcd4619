"""A first call of a model with made-up values, so that no caller pays for what libraries do only once."""

import numpy as np
import structlog

from serving.engines.base import DTYPES, Array, Engine
from serving.engines.errors import PredictionFailedError

_log = structlog.get_logger(__name__)


def warm_up(engine: Engine) -> None:
    """Ask for one row of zeros; a model that refuses them is as warm afterwards."""
    inputs = {tensor.name: _zeros(tensor.datatype, tensor.shape) for tensor in engine.signature.inputs}
    try:
        engine.predict(inputs)
    except PredictionFailedError as error:
        _log.info("warm_up_refused", reason=str(error))


def _zeros(datatype: str, shape: tuple[int, ...]) -> Array:
    sizes = tuple(1 if size < 0 else size for size in shape)
    return np.full(sizes, "", dtype=np.object_) if datatype == "BYTES" else np.zeros(sizes, dtype=DTYPES[datatype])
