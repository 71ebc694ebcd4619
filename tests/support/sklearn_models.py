"""Fitted scikit-learn models as a serving agent finds them: files of skops, and signatures in one line a tensor."""

from pathlib import Path
from typing import Any

import skops.io

from schemas.events.registry import Signature, Tensor
from serving.engines.base import Engine, load_engine
from serving.runtime.trial import try_out


def signature_of(inputs: str, outputs: str) -> Signature:
    """Read tensors as the command line writes them: `age:FP64:-1x1 city:BYTES:-1`."""
    return Signature(
        inputs=tuple(map(_tensor, inputs.split())),
        outputs=tuple(map(_tensor, outputs.split())),
    )


def served_engine(model: Any, signature: Signature, folder: Path) -> Engine:  # noqa: ANN401 - scikit-learn has no types
    """Save a model, and load it as the runtime does."""
    path = folder / "artifact"
    skops.io.dump(model, path)
    engine = load_engine("skops", path, signature)
    try_out(engine)
    return engine


def _tensor(text: str) -> Tensor:
    name, datatype, shape = text.removesuffix(":missing").rsplit(":", 2)
    sizes = tuple(map(int, shape.split("x")))
    return Tensor(name=name, datatype=datatype, shape=sizes, allows_missing=text.endswith(":missing"))  # type: ignore[arg-type]
