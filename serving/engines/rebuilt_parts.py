"""Rebuilds from their data the parts that compiled code reads without bounds checks.

Search trees and splines are unpacked without the checks of their constructors. Only their data, held by numpy, is used
here, and the library itself builds new ones from it.
"""

from typing import Any

import numpy as np
from sklearn.neighbors import BallTree, KDTree

from serving.engines.base import Array
from serving.engines.errors import MalformedArtifactError
from serving.engines.model_parts import parts_of

_METRICS = (
    *("BrayCurtis", "Canberra", "Chebyshev", "Dice", "Euclidean", "Hamming", "Haversine", "Jaccard", "Mahalanobis"),
    *("Manhattan", "Minkowski", "RogersTanimoto", "RussellRao", "SEuclidean", "SokalSneath"),
)
REBUILT_TYPES = (
    *(f"sklearn.neighbors._kd_tree.KDTree{bits}" for bits in ("", "32", "64")),
    *(f"sklearn.neighbors._ball_tree.BallTree{bits}" for bits in ("", "32", "64")),
    *(f"sklearn.metrics._dist_metrics.{name}Distance{bits}" for name in _METRICS for bits in ("", "32", "64")),
    "scipy.interpolate._bsplines.BSpline",
    "scipy._lib.array_api_compat.numpy._aliases.asarray",
)
_SEARCH_TREES = {"kd_tree": KDTree, "ball_tree": BallTree}
_TREE_NAMES = tuple(f"{kind}{bits}" for kind in ("KDTree", "BallTree") for bits in ("", "32", "64"))


def rebuild_parts(model: object) -> None:
    """Rebuild every search tree and spline of a model.

    Raises:
        MalformedArtifactError: it cannot be built, or is where scikit-learn would not put one.
    """
    rebuilt: set[int] = set()
    for _, part in list(parts_of(model)):
        try:
            rebuilt |= {id(each) for each in _rebuilt_in(part)}
        # The libraries' own errors have no common base.
        except Exception as error:
            raise MalformedArtifactError(
                f"a search tree or spline of a {type(part).__name__} cannot be built: {error}"
            ) from error
    for owner, part in parts_of(model):
        if type(part).__name__ in {*_TREE_NAMES, "BSpline"} and id(part) not in rebuilt:
            raise MalformedArtifactError(f"the artifact has a {type(part).__name__} in a {type(owner).__name__}")


def _rebuilt_in(part: Any) -> list[object]:  # noqa: ANN401 - whatever the file holds
    held = getattr(part, "__dict__", {})
    if "_fit_method" in held:
        _check_neighbours(part)
        part._tree = _search_tree(part)  # noqa: SLF001 - what a fit does
        return [part._tree]  # noqa: SLF001 - the same
    if type(part).__name__ == "KernelDensity" and "tree_" in held:
        part.tree_ = _density_tree(part)
        return [part.tree_]
    if "bsplines_" in held:
        part.bsplines_ = [_spline(each) for each in part.bsplines_]
        return list(part.bsplines_)
    return []


def _check_neighbours(part: Any) -> None:  # noqa: ANN401 - whatever the file holds
    """Check the searched rows against what the model says about them, because compiled code relies on it."""
    if not isinstance(part.effective_metric_, str):
        raise MalformedArtifactError("its metric is not a name")
    rows = part._fit_X.shape[0]  # noqa: SLF001 - there is no public name
    labels = part.__dict__.get("_y")
    if part._fit_X.ndim != 2 or part.n_samples_fit_ != rows or (labels is not None and len(labels) != rows):  # noqa: SLF001, PLR2004 - the same; rows of columns
        raise MalformedArtifactError("it does not have as many labels as rows")
    if labels is not None and hasattr(part, "classes_"):
        _check_classes(np.asarray(labels), part.classes_)


def _check_classes(labels: Array, classes: Any) -> None:  # noqa: ANN401 - an array, or a list of them
    several = classes if isinstance(classes, list) else [classes]
    for target, known in zip(labels.reshape(len(labels), -1).T, several, strict=True):
        if target.dtype.kind not in "iu" or target.min(initial=0) < 0 or target.max(initial=0) >= len(known):
            raise MalformedArtifactError("it has a label that is not one of its classes")


def _search_tree(part: Any) -> object:  # noqa: ANN401 - whatever the file holds
    if part._fit_method == "brute":  # noqa: SLF001 - there is no public name
        return None
    kind = _SEARCH_TREES[part._fit_method]  # noqa: SLF001 - the same
    parameters = part.effective_metric_params_
    return kind(_data(part._fit_X), part.leaf_size, metric=part.effective_metric_, **parameters)  # noqa: SLF001 - the same


def _density_tree(part: Any) -> object:  # noqa: ANN401 - whatever the file holds
    kind = KDTree if type(part.tree_).__name__.startswith("KDTree") else BallTree
    weights = None if part.tree_.sample_weight is None else np.array(part.tree_.sample_weight)
    parameters = part.metric_params or {}
    return kind(
        _data(part.tree_.data), metric=part.metric, leaf_size=part.leaf_size, sample_weight=weights, **parameters
    )


def _data(values: object) -> Array:
    return np.array(values, dtype=np.float64)


def _spline(spline: Any) -> object:  # noqa: ANN401 - whatever the file holds
    from scipy.interpolate import BSpline  # noqa: PLC0415 - few models have one

    return BSpline(np.asarray(spline.t), np.asarray(spline.c), spline.k, extrapolate=spline.extrapolate)
