"""Runs models that XGBoost saved as UBJSON or JSON. XGBoost is an extra, and only this file imports it."""

from pathlib import Path

import numpy as np

from schemas.events.registry import Signature
from schemas.xgboost_document import XgboostDocument
from serving.engines.base import Array, Tensors
from serving.engines.boosted_engine import BoostedEngine, with_labels
from serving.engines.errors import EngineNotInstalledError, MalformedArtifactError
from serving.engines.xgboost_file import checked_file

try:
    import xgboost
except ImportError:
    xgboost = None


def load_xgboost(path: Path, signature: Signature) -> BoostedEngine:
    """Load a model.

    Raises:
        CannotLoadError: the file or the signature is rejected, or XGBoost is not installed.
    """
    if xgboost is None:
        raise EngineNotInstalledError(library="xgboost", extra="xgboost")
    content, document = checked_file(path)
    # Replicas and other engines share the cores; one thread per call keeps latencies steady.
    booster = xgboost.Booster({"nthread": 1})
    try:
        booster.load_model(bytearray(content))
        rounds = _rounds(document, booster.num_boosted_rounds())
    except (ValueError, xgboost.core.XGBoostError) as error:
        raise MalformedArtifactError(f"XGBoost cannot read the artifact ({str(error).splitlines()[0]})") from error

    def answer(rows: Array) -> Tensors:
        if document.booster["name"] == "gblinear":
            return _named(document, booster.predict(xgboost.DMatrix(rows, nthread=1), validate_features=False))
        predicted = booster.inplace_predict(rows, iteration_range=(0, rounds), validate_features=False)
        return _named(document, predicted)

    return BoostedEngine(document.described(), signature, answer)


def _rounds(document: XgboostDocument, held: int) -> int:
    """Return how many boosting rounds count: after early stopping those up to the best, as in XGBoost's estimators."""
    rounds = int(document.attributes.get("best_iteration", held - 1)) + 1
    if not 0 <= rounds <= held:
        raise ValueError(f"its best round is {rounds}, and it has {held}")
    return rounds


def _named(document: XgboostDocument, predicted: Array) -> Tensors:
    match [output.name for output in document.described().outputs]:
        case ["label", "probabilities"]:
            return with_labels(predicted)
        case ["label"]:
            return {"label": predicted.astype(np.int64)}
        case _:
            return {"value": predicted}
