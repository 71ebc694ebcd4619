"""Loads skops files: types are checked before anything is created, and structures before anything is called."""

from pathlib import Path
from typing import Any

from schemas.skops_functions import CALCULATING_FUNCTIONS, REMEDY
from serving.engines.array_check import check_arrays
from serving.engines.errors import MalformedArtifactError, UntrustedTypeError
from serving.engines.rebuilt_parts import REBUILT_TYPES, rebuild_parts
from serving.engines.tree_check import TREE_TYPES, check_trees
from serving.engines.trusted_estimators import skops_io, trusted_estimators

# The fork server preloads this module, and skops with it; otherwise each engine would take a second to import it.
_skops = skops_io()
INERT_TYPES = (
    "builtins.object",
    "functools.partial",
    "numpy.dtype",
    "numpy.number",
    *sorted(CALCULATING_FUNCTIONS),
    *(f"sklearn._loss.loss.{name}" for name in ("HalfTweedieLoss", "HalfTweedieLossIdentity")),
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.calibration._TemperatureScaling",
    "sklearn.cluster._bisect_k_means._BisectingTree",
    "sklearn.cluster._kmeans._kmeans_single_elkan",
    "sklearn.cluster._kmeans._kmeans_single_lloyd",
    "sklearn.compose._column_transformer.make_column_selector",
    *(
        f"sklearn.feature_selection._univariate_selection.{name}"
        for name in ("chi2", "f_classif", "f_regression", "r_regression")
    ),
    *(f"sklearn.feature_selection._mutual_info.mutual_info_{name}" for name in ("classif", "regression")),
    "sklearn.impute._iterative._ImputerTriplet",
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    *(f"sklearn.metrics._scorer.{name}" for name in ("_CurveScorer", "_PassthroughScorer", "_Scorer")),
    "sklearn.multiclass._ConstantPredictor",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.utils._bunch.Bunch",
    "sklearn.utils._metadata_requests.MetadataRequest",
    "sklearn.utils._metadata_requests.MethodMetadataRequest",
    "sklearn.utils.validation.check_array",
)
"""Trusted in addition to what skops trusts, which is scikit-learn's estimators and numpy's universal functions.

These are functions that only calculate, and parts of estimators that only hold values. What a `partial` calls must be
trusted itself.
"""
SPARSE_TYPES = tuple(f"scipy.sparse._{kind}.{kind}_{form}" for kind in ("csr", "csc") for form in ("matrix", "array"))
CHECKED_TYPES = (*TREE_TYPES, *REBUILT_TYPES, *SPARSE_TYPES)
"""These hold indices that compiled code follows; they are checked or rebuilt before anything is called."""


def load_trusted(path: Path) -> Any:  # noqa: ANN401 - whatever estimator the file holds
    """Load a model.

    Raises:
        MalformedArtifactError: it is not a skops file, or a structure in it leads outside its arrays.
        UntrustedTypeError: it would create objects of an untrusted type.
    """
    trusted = _trusted_types(path)
    try:
        model = _skops.load(path, trusted=sorted(trusted))
    # skops can raise almost anything on a file that was tampered with.
    except Exception as error:
        raise _unreadable(error) from error
    rebuild_parts(model)
    check_trees(model)
    check_arrays(model)
    return model


def checked_types(path: Path) -> set[str]:
    """Return the types in a file that are checked by more than their name."""
    return set(_skops.get_untrusted_types(file=path)) & set(CHECKED_TYPES)


def _trusted_types(path: Path) -> set[str]:
    try:
        found = set(_skops.get_untrusted_types(file=path))
    # The same.
    except Exception as error:
        raise _unreadable(error) from error
    trusted = trusted_estimators(found) | set(INERT_TYPES) | set(CHECKED_TYPES)
    untrusted = sorted(found - trusted)
    if untrusted:
        raise UntrustedTypeError(untrusted, remedy=REMEDY)
    return trusted


def _unreadable(error: Exception) -> MalformedArtifactError:
    return MalformedArtifactError(f"skops cannot read the artifact ({type(error).__name__}: {error})")
