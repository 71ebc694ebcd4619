"""Runs models that LightGBM saved as text. LightGBM is an extra, and only this file imports it."""

from pathlib import Path

from schemas.events.registry import Signature
from serving.engines.base import Array, Tensors
from serving.engines.boosted_engine import BoostedEngine, with_labels
from serving.engines.errors import EngineNotInstalledError, MalformedArtifactError
from serving.engines.lightgbm_file import rebuilt_file

try:
    import lightgbm
except ImportError:
    lightgbm = None


def load_lightgbm(path: Path, signature: Signature) -> BoostedEngine:
    """Load a model.

    Raises:
        CannotLoadError: the file or the signature is rejected, or LightGBM is not installed.
    """
    if lightgbm is None:
        raise EngineNotInstalledError(library="lightgbm", extra="lightgbm")
    text, model = rebuilt_file(path)
    try:
        booster = lightgbm.Booster(model_str=text)
    except lightgbm.basic.LightGBMError as error:
        raise MalformedArtifactError(f"LightGBM cannot read the artifact ({error})") from error
    has_classes = len(model.described().outputs) > 1

    def answer(rows: Array) -> Tensors:
        # Replicas and other engines share the cores; one thread per call keeps latencies steady.
        predicted = booster.predict(rows, num_threads=1)
        return with_labels(predicted) if has_classes else {"value": predicted}

    return BoostedEngine(model.described(), signature, answer)
