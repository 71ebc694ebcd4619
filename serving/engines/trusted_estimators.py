"""skops without its walk through all of scikit-learn: an estimator is looked up when a file names it.

Importing `skops.io` imports every module of scikit-learn to list its public estimators, which takes seconds and a
hundred megabytes in each engine. Here the list stays empty, and `trusted_estimators` checks the few names in a file as
the walk checks all: each has to be a public, concrete estimator of scikit-learn, found where its users import it from.
"""

import sys
from importlib import import_module
from inspect import isabstract
from threading import Lock
from types import FunctionType, ModuleType

import sklearn.utils
from sklearn.base import BaseEstimator

_IGNORED = frozenset({"tests", "externals", "setup", "conftest", "experimental", "estimator_checks"})
_EXPERIMENTAL = {
    "IterativeImputer": "enable_iterative_imputer",
    "HalvingGridSearchCV": "enable_halving_search_cv",
    "HalvingRandomSearchCV": "enable_halving_search_cv",
}
_PARTS: dict[str, type] = {
    "sklearn.gaussian_process.kernels": type,
    "sklearn.metrics": FunctionType,
    "sklearn.model_selection": type,
}
"""What is trusted in modules besides estimators: parts of estimators that only calculate or hold values."""
_importing = Lock()


def skops_io() -> ModuleType:
    """Import `skops.io`; if it is already imported, it knows all estimators itself."""
    with _importing:
        if "skops.io" in sys.modules:
            return sys.modules["skops.io"]
        walk, sklearn.utils.all_estimators = sklearn.utils.all_estimators, list
        try:
            return import_module("skops.io")
        finally:
            sklearn.utils.all_estimators = walk


def trusted_estimators(type_names: set[str]) -> set[str]:
    """Return the names that are public, concrete estimators of scikit-learn, or public parts of it.

    Parts are kernels of Gaussian processes, splitters, and metrics. Only scikit-learn's own public modules are imported
    to find out.
    """
    return {name for name in type_names if _is_public_part(name)}


def _is_public_part(type_name: str) -> bool:
    *module, name = type_name.split(".")
    public = _public_part(module)
    if public is None or name.startswith("_") or name == BaseEstimator.__name__:
        return False
    try:
        if name in _EXPERIMENTAL:
            import_module(f"sklearn.experimental.{_EXPERIMENTAL[name]}")
        holder = import_module(".".join(public))
        found = getattr(holder, name, None)
    except ImportError:
        return False
    if not callable(found) or f"{found.__module__}.{found.__name__}" != type_name or isabstract(found):
        return False
    if isinstance(found, type) and issubclass(found, BaseEstimator):
        return True
    return isinstance(found, _PARTS.get(holder.__name__, ()))


def _public_part(module: list[str]) -> list[str] | None:
    """Return the module's nearest public package, where a user finds its estimators; None outside scikit-learn."""
    if module[:1] != ["sklearn"] or not all(part.isidentifier() for part in module) or _IGNORED & set(module):
        return None
    private = next((index for index, part in enumerate(module) if part.startswith("_")), len(module))
    return module[:private]
