"""Runs scikit-learn models saved by skops: types are checked before anything is created, and nothing is unpickled."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sklearn import config_context
from sklearn.base import is_classifier, is_clusterer, is_outlier_detector, is_regressor
from sklearn.pipeline import Pipeline

from schemas.events.registry import Signature
from serving.engines.base import DTYPES, Array, Tensors
from serving.engines.errors import (
    MalformedArtifactError,
    PredictionFailedError,
    SignatureMismatchError,
    UntrustedTypeError,
)
from serving.engines.tree_check import TREE_TYPES, check_trees
from serving.engines.trusted_estimators import skops_io, trusted_estimators

TRUSTED_TYPES = (
    "numpy.clip",
    "numpy.nan_to_num",
    "numpy.round",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.utils._bunch.Bunch",
    *TREE_TYPES,
)
"""Beyond what skops trusts by itself (scikit-learn, scipy, numpy's universal functions): functions of numpy that
preprocessing needs and that only calculate, and parts of estimators that only hold values. Trees hold indices too,
which are checked."""

_ROWS_AND_COLUMNS = 2


class SklearnEngine:
    """Answers `label` and, where the model has them, `probabilities`; a regressor answers `value`.

    Several inputs are joined column by column in the order of the signature.
    """

    def __init__(self, path: Path, signature: Signature) -> None:
        self._signature = signature
        self._model = _load_trusted(path)
        self._methods = _methods_of(self._model)
        self._transformers, self._final = _stages(self._model)
        self._check_signature()

    @property
    def signature(self) -> Signature:
        return self._signature

    def predict(self, inputs: Mapping[str, Array]) -> Tensors:
        matrix = self._matrix(inputs)
        try:
            # The rim has refused what is not finite, and the parameters of a fitted model don't change.
            with config_context(assume_finite=True, skip_parameter_validation=True):
                for transformer in self._transformers:
                    matrix = transformer.transform(matrix)
                return {
                    output.name: _as(DTYPES[output.datatype], getattr(self._final, self._methods[output.name])(matrix))
                    for output in self._signature.outputs
                }
        # What a foreign model raises is open; the cause is kept, and the caller turns it into one answer.
        except Exception as error:
            raise PredictionFailedError(f"the model failed with {type(error).__name__}") from error

    def _matrix(self, inputs: Mapping[str, Array]) -> Array:
        columns = [inputs[tensor.name] for tensor in self._signature.inputs]
        if len(columns) == 1:
            only = columns[0]
            return only if only.ndim >= _ROWS_AND_COLUMNS else only.reshape(-1, 1)
        rows = {len(column) for column in columns}
        if len(rows) > 1:
            raise PredictionFailedError(f"the inputs have different numbers of rows: {sorted(rows)}")
        return np.hstack([column.reshape(len(column), -1) for column in columns])

    def _check_signature(self) -> None:
        for output in self._signature.outputs:
            if output.name not in self._methods:
                raise SignatureMismatchError(
                    f"the signature promises the output {output.name!r}; this model answers {', '.join(self._methods)}"
                )
        expected = getattr(self._model, "n_features_in_", None)
        sizes = [tensor.shape[1:] for tensor in self._signature.inputs]
        if expected is None or any(size < 0 for shape in sizes for size in shape):
            return
        promised = sum(int(np.prod(shape, dtype=np.int64)) for shape in sizes)
        if promised != expected:
            raise SignatureMismatchError(
                f"the signature's inputs have {promised} columns; this model takes {expected} of them"
            )


def _load_trusted(path: Path) -> Any:  # noqa: ANN401 - whatever estimator the file holds
    skops = skops_io()
    # skops raises nearly anything on a file that was tampered with, hence the wide nets.
    try:
        found = set(skops.get_untrusted_types(file=path))
    except Exception as error:
        raise _unreadable(error) from error
    trusted = trusted_estimators(found) | set(TRUSTED_TYPES)
    untrusted = sorted(found - trusted)
    if untrusted:
        raise UntrustedTypeError(untrusted)
    try:
        model = skops.load(path, trusted=sorted(trusted))
    except Exception as error:
        raise _unreadable(error) from error
    check_trees(model)
    return model


def _unreadable(error: Exception) -> MalformedArtifactError:
    return MalformedArtifactError(f"skops can't read the artifact ({type(error).__name__}: {error})")


def _stages(model: Any) -> tuple[list[Any], Any]:  # noqa: ANN401 - whatever estimator the file holds
    """Take a pipeline apart, so that several outputs cost one preprocessing; it is what its own methods do."""
    if type(model) is not Pipeline:
        return [], model
    steps = [step for _, step in model.steps]
    return [step for step in steps[:-1] if step is not None and step != "passthrough"], steps[-1]


def _methods_of(model: Any) -> dict[str, str]:  # noqa: ANN401 - whatever estimator the file holds
    if is_regressor(model) and hasattr(model, "predict"):
        return {"value": "predict"}
    if (is_classifier(model) or is_clusterer(model) or is_outlier_detector(model)) and hasattr(model, "predict"):
        methods = {"label": "predict"}
        return methods | ({"probabilities": "predict_proba"} if hasattr(model, "predict_proba") else {})
    raise SignatureMismatchError(f"a {type(model).__name__} is no classifier, clusterer or regressor that can predict")


def _as(dtype: type[np.generic], values: object) -> Array:
    array = np.asarray(values)
    if dtype is np.object_:
        return array.astype(str).astype(np.object_)
    return array.astype(dtype, casting="same_kind", copy=False)
