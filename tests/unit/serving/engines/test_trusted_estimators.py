import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils import all_estimators
from skops.io import _trusted_types

from serving.engines.trusted_estimators import trusted_estimators
from workers.serving_agent.launchers.runtime_launcher import SLOW_LIBRARIES

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


def test_an_engine_imports_nothing_for_an_ordinary_model_that_a_fork_does_not_have(tmp_path: Path) -> None:
    rows = np.array([[0.0, 1.0], [1.0, 0.0]])
    skops.io.dump(make_pipeline(MinMaxScaler(), LogisticRegression()).fit(rows, [0, 1]), tmp_path / "artifact")
    program = (
        f"import sys; from importlib import import_module; [import_module(name) for name in {SLOW_LIBRARIES!r}];"
        "from pathlib import Path; from serving.engines.sklearn_file import load_trusted; before = set(sys.modules);"
        f"load_trusted(Path({str(tmp_path / 'artifact')!r}));"
        "print([name for name in set(sys.modules) - before if name.startswith(('skops', 'sklearn', 'scipy'))])"
    )

    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    assert said.stdout.strip() == "[]"
