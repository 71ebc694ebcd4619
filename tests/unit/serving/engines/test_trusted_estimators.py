import subprocess
import sys

import pytest
from sklearn.utils import all_estimators
from skops.io import _trusted_types

from serving.engines.trusted_estimators import trusted_estimators

ALL = {
    f"{estimator.__module__}.{estimator.__name__}"
    for _, estimator in all_estimators()
    if estimator.__module__.startswith("sklearn.")
}

EXPERIMENTAL = {
    "sklearn.impute._iterative.IterativeImputer",
    "sklearn.model_selection._search_successive_halving.HalvingGridSearchCV",
    "sklearn.model_selection._search_successive_halving.HalvingRandomSearchCV",
}


def test_what_skops_trusts_of_scikit_learn_is_trusted_one_by_one() -> None:
    assert set(_trusted_types.SKLEARN_ESTIMATOR_TYPE_NAMES) ^ ALL <= EXPERIMENTAL
    assert trusted_estimators(ALL | EXPERIMENTAL) == ALL | EXPERIMENTAL


def test_parts_that_only_calculate_or_hold_values_are_trusted() -> None:
    parts = {
        "sklearn.gaussian_process.kernels.RBF",
        "sklearn.metrics._classification.accuracy_score",
        "sklearn.model_selection._split.StratifiedKFold",
    }

    assert trusted_estimators(parts) == parts


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "builtins.eval",
        "sklearn.base.BaseEstimator",
        "sklearn.base.clone",
        "sklearn.linear_model._base.LinearModel",
        "sklearn.linear_model.LogisticRegression",
        "sklearn.linear_model._logistic._fit_liblinear",
        "sklearn.tests.test_base.MyEstimator",
        "sklearn.externals.array_api_compat.numpy.ndarray",
        "sklearn.utils._testing.MinimalClassifier",
        "sklearn.gaussian_process.kernels.Kernel",
        "sklearn.metrics._plot.roc_curve.RocCurveDisplay",
        "sklearn.model_selection._validation.cross_val_score",
        "sklearn.no_such_module.Estimator",
        "sklearn.tree._tree.Tree",
        "sklearn..Estimator",
        "sklearn",
        "",
    ],
)
def test_nothing_else_is_trusted(name: str) -> None:
    assert trusted_estimators({name}) == set()


def test_loading_the_engine_imports_no_more_of_scikit_learn_than_it_needs() -> None:
    program = (
        "import sys; from serving.engines.trusted_estimators import skops_io; skops_io();"
        "print('sklearn.gaussian_process' in sys.modules, 'sklearn.utils._testing' in sys.modules)"
    )

    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    assert said.stdout.split() == ["False", "False"]
