"""Runs models that CatBoost saved as `.cbm`. CatBoost is an extra, and only this file imports it."""

from pathlib import Path
from typing import Any

import numpy as np

from schemas.catboost_binary import CatboostBinary
from schemas.events.registry import Signature
from serving.engines.base import DTYPES, Array, Tensors
from serving.engines.boosted_engine import EVEN_ODDS, BoostedEngine
from serving.engines.catboost_file import checked_file
from serving.engines.errors import EngineNotInstalledError, MalformedArtifactError

try:
    import catboost
except ImportError:
    catboost = None


def load_catboost(path: Path, signature: Signature) -> BoostedEngine:
    """Load a model.

    Raises:
        CannotLoadError: the file or the signature is rejected, or CatBoost is not installed.
    """
    if catboost is None:
        raise EngineNotInstalledError(library="catboost", extra="catboost")
    content, model = checked_file(path)
    booster = catboost.CatBoost()
    try:
        booster.load_model(blob=content)
    except (catboost.CatBoostError, KeyError, TypeError, ValueError) as error:
        raise MalformedArtifactError(f"CatBoost cannot read the artifact ({str(error).splitlines()[0]})") from error
    numeric = [column for column in range(model.columns) if column not in model.categorical]

    def answer(rows: Array) -> Tensors:
        # Replicas and other engines share the cores; one thread per call keeps latencies steady.
        predicted = booster.predict(_pool(model, rows, numeric), prediction_type=model.prediction, thread_count=1)
        return _named(model, predicted)

    return BoostedEngine(model.described(), signature, answer)


def _pool(model: CatboostBinary, rows: Array, numeric: list[int]) -> Any:  # noqa: ANN401 - CatBoost has no annotations
    if not model.categorical:
        return catboost.Pool(rows)
    rows[:, numeric] = rows[:, numeric].astype(np.float32)
    return catboost.Pool(rows, cat_features=sorted(model.categorical))


def _named(model: CatboostBinary, predicted: Array) -> Tensors:
    if model.prediction != "Probability":
        return {"value": predicted}
    if model.is_multilabel:
        return {"label": (predicted > EVEN_ODDS).astype(np.int64), "probabilities": predicted}
    labels = np.array(model.labels, dtype=DTYPES[model.label_datatype])
    if model.threshold is None:
        return {"label": labels[predicted.argmax(axis=1)], "probabilities": predicted}
    return {"label": labels[(predicted[:, 1] > model.threshold).astype(np.int64)], "probabilities": predicted}
