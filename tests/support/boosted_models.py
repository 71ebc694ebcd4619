"""Small models of gradient-boosting libraries, and their engines as the runtime loads them."""

from pathlib import Path
from typing import Any

import numpy as np

from control_plane.artifacts.artifact_store import ArtifactStore
from control_plane.artifacts.inspection import CHECKS
from schemas.events.registry import ArtifactFormat, Signature
from serving.engines.base import Engine, load_engine
from serving.runtime.trial import try_out


def rows_with_categories() -> tuple[Any, Any]:
    """Return a frame of a category and a number, and what depends on both."""
    import pandas as pd  # noqa: PLC0415 - slow to import

    chance = np.random.default_rng(7)
    cities = pd.Categorical(chance.choice(["Bern", "Oslo", "Rome"], 200))
    frame = pd.DataFrame({"city": cities, "age": chance.normal(size=200)})
    return frame, (frame.city == "Rome") * 2.0 + frame.age


def told_signature(artifact_format: ArtifactFormat, path: Path, folder: Path) -> Signature:
    """Return the signature that a file says at its registration."""
    with path.open("rb") as file:
        told = CHECKS[artifact_format](file, ArtifactStore(folder / "store", max_bytes=2**30))
    assert told is not None
    return Signature(inputs=told.inputs, outputs=told.outputs)


def tried_engine(artifact_format: ArtifactFormat, path: Path, signature: Signature) -> Engine:
    """Load a model, and ask it as the runtime does before it is announced."""
    engine = load_engine(artifact_format, path, signature)
    try_out(engine)
    return engine
