"""Runs models that LightGBM saved as text. LightGBM is an extra: this is the only file that imports it."""

from pathlib import Path

import numpy as np

from schemas.events.registry import Signature
from serving.engines.base import Array, Tensors
from serving.engines.boosted_engine import BoostedEngine
from serving.engines.errors import EngineNotInstalledError, MalformedArtifactError
from serving.engines.lightgbm_file import rebuilt_file

try:
    import lightgbm
except ImportError:
    lightgbm = None

_EVEN_ODDS = 0.5


def load_lightgbm(path: Path, signature: Signature) -> BoostedEngine:
    """Load a model.

    Raises:
        CannotLoadError: the file or the signature is refused, or LightGBM is not installed.
    """
    if lightgbm is None:
        raise EngineNotInstalledError(library="lightgbm", extra="lightgbm")
    text, model = rebuilt_file(path)
    try:
        booster = lightgbm.Booster(model_str=text)
    except lightgbm.basic.LightGBMError as error:
        raise MalformedArtifactError(f"LightGBM can't read the artifact ({error})") from error
    has_classes = len(model.described().outputs) > 1

    def answer(rows: Array) -> Tensors:
        # Replicas and other engines share the cores; one thread a call keeps latencies steady.
        predicted = booster.predict(rows, num_threads=1)
        if not has_classes:
            return {"value": predicted}
        if predicted.ndim > 1:
            return {"label": predicted.argmax(axis=1), "probabilities": predicted}
        probabilities = np.stack([1 - predicted, predicted], axis=1)
        return {"label": (predicted > _EVEN_ODDS).astype(np.int64), "probabilities": probabilities}

    return BoostedEngine(model.described(), signature, answer)
