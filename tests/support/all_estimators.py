"""Every estimator of scikit-learn, fitted on a few rows of the first kind that it takes."""

import inspect
import warnings
from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np
from sklearn.experimental import enable_halving_search_cv, enable_iterative_imputer  # noqa: F401 - makes them known
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import all_estimators

from serving.engines.base import Array

ROWS = np.abs(np.random.default_rng(0).normal(size=(24, 4))) + 0.1
CLASSES = np.arange(24) % 3
VALUES = ROWS @ [2.0, 1.0, 0.5, 0.0]
TEXTS = np.array(["good day", "bad day", "good night", "bad night"] * 6, object)
FITTED = LogisticRegression().fit(ROWS, CLASSES)
_SMALL: dict[str, Any] = {
    "n_estimators": 3,
    "max_iter": 20,
    "cv": 2,
    "n_components": 2,
    "n_neighbors": 3,
    "n_clusters": 2,
    "n_init": 1,
    "degree": 2,
    "random_state": 0,
    "novelty": True,
    "n_best": 1,
}
_DATA: tuple[tuple[Any, ...], ...] = (
    (ROWS, CLASSES),
    (ROWS, VALUES),
    (ROWS, np.column_stack([CLASSES % 2, (CLASSES + 1) % 2])),
    (ROWS, np.column_stack([VALUES, -VALUES])),
    (ROWS, CLASSES % 2),
    (ROWS,),
    (VALUES, VALUES),
    (CLASSES,),
    (ROWS @ ROWS.T,),
)
_OWN: dict[str, Callable[[type], Any]] = {
    "FrozenEstimator": lambda kind: kind(FITTED),
    "OrthogonalMatchingPursuitCV": lambda kind: kind(cv=2, max_iter=2),
    "SelfTrainingClassifier": lambda kind: kind(LogisticRegression()),
    "SparseCoder": lambda kind: kind(ROWS[:4].copy()),
    "SpectralBiclustering": lambda kind: kind(n_best=1, n_components=2, n_clusters=2),
}


def fitted_estimators(methods: Collection[str]) -> Iterator[tuple[type, Any, Array | None]]:
    """Yield each class with a model and its rows, fitted if it has one of the methods.

    Without rows, nothing that is a tensor fits it.
    """
    for name, kind in all_estimators():
        if name not in _OWN and not any(hasattr(kind, method) for method in methods):
            yield kind, None, None
            continue
        model = _OWN[name](kind) if name in _OWN else _constructed(kind)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield kind, model, _fit(model)


def _constructed(kind: type) -> Any:  # noqa: ANN401 - scikit-learn has no types
    parameters = {
        name: each for name, each in inspect.signature(kind).parameters.items() if each.kind != each.VAR_KEYWORD
    }
    is_regressor = "Regressor" in kind.__name__ or "RegressorChain" in kind.__name__
    simple: Any = LinearRegression() if is_regressor else LogisticRegression()
    needed = {
        "estimator": simple,
        "estimators": [
            ("a", simple),
            ("b", LinearRegression() if is_regressor else DecisionTreeClassifier(max_depth=2)),
        ],
        "transformers": [("scale", StandardScaler(), [0, 1])],
        "transformer_list": [("scale", StandardScaler())],
        "steps": [("scale", StandardScaler()), ("fit", LogisticRegression())],
        "param_grid": {"C": [0.1, 1.0]},
        "param_distributions": {"C": [0.1, 1.0]},
    }
    chosen = {name: needed[name] for name, each in parameters.items() if each.default is each.empty and name in needed}
    return kind(**chosen, **{name: value for name, value in _SMALL.items() if name in parameters})


def _fit(model: Any) -> Array | None:  # noqa: ANN401 - scikit-learn has no types
    if isinstance(model, FrozenEstimator):
        return ROWS
    for data in ((TEXTS, CLASSES),) if hasattr(model, "build_analyzer") else _DATA:
        try:
            model.fit(*data)
        # Each estimator refuses what it isn't for in its own way.
        except Exception:  # noqa: BLE001, S112
            continue
        return np.asarray(data[0])
    return None
