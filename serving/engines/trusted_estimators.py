"""skops without its walk through all of scikit-learn: an estimator is looked up when a file names it.

Importing `skops.io` imports every module of scikit-learn to list its public estimators, which takes seconds and a
hundred megabytes in each engine. Here the list stays empty, and `trusted_estimators` asks of the few names in a file
what the walk asks of all: a public, concrete estimator of scikit-learn, found where its users import it from.
"""

import sys
from importlib import import_module
from inspect import isabstract
from threading import Lock
from types import ModuleType

import sklearn.utils
from sklearn.base import BaseEstimator

_IGNORED = frozenset({"tests", "externals", "setup", "conftest", "experimental", "estimator_checks"})
_importing = Lock()


def skops_io() -> ModuleType:
    """Import `skops.io`; where it is imported already, it knows all estimators by itself."""
    with _importing:
        if "skops.io" in sys.modules:
            return sys.modules["skops.io"]
        walk, sklearn.utils.all_estimators = sklearn.utils.all_estimators, list
        try:
            return import_module("skops.io")
        finally:
            sklearn.utils.all_estimators = walk


def trusted_estimators(type_names: set[str]) -> set[str]:
    """Return those of the names that are public, concrete estimators of scikit-learn.

    Only scikit-learn's own public modules are imported to find out.
    """
    return {name for name in type_names if _is_public_estimator(name)}


def _is_public_estimator(type_name: str) -> bool:
    *module, name = type_name.split(".")
    public = _public_part(module)
    if public is None or name.startswith("_") or name == BaseEstimator.__name__:
        return False
    try:
        found = getattr(import_module(".".join(public)), name, None)
    except ImportError:
        return False
    return (
        isinstance(found, type)
        and f"{found.__module__}.{found.__name__}" == type_name
        and issubclass(found, BaseEstimator)
        and not isabstract(found)
    )


def _public_part(module: list[str]) -> list[str] | None:
    """Return the module's nearest public package, where a user finds its estimators; None outside scikit-learn."""
    if module[:1] != ["sklearn"] or not all(part.isidentifier() for part in module) or _IGNORED & set(module):
        return None
    private = next((index for index, part in enumerate(module) if part.startswith("_")), len(module))
    return module[:private]
