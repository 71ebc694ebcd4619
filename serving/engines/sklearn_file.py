"""Loads what skops saved: types are checked before anything is created, nothing is unpickled, trees are checked."""

from pathlib import Path
from typing import Any

from serving.engines.errors import MalformedArtifactError, UntrustedTypeError
from serving.engines.tree_check import TREE_TYPES, check_trees
from serving.engines.trusted_estimators import skops_io, trusted_estimators

TRUSTED_TYPES = (
    "builtins.object",
    "numpy.clip",
    "numpy.dtype",
    "numpy.nan_to_num",
    "numpy.number",
    "numpy.round",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.compose._column_transformer.make_column_selector",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.utils._bunch.Bunch",
    *TREE_TYPES,
)
"""Beyond what skops trusts by itself (scikit-learn, scipy, numpy's universal functions): functions of numpy that
preprocessing needs and that only calculate, and parts of estimators that only hold values. Trees hold indices too,
which are checked."""


def load_trusted(path: Path) -> Any:  # noqa: ANN401 - whatever estimator the file holds
    """Load a model.

    Raises:
        MalformedArtifactError: it is no file of skops, or its trees lead out of their arrays.
        UntrustedTypeError: it would create objects of a type that we don't trust.
    """
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
