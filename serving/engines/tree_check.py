"""Compiled code walks trees without bounds checks, so a file's trees are checked before any of them is used.

What is checked is what scikit-learn's builders guarantee (`sklearn/tree/_tree.pyx`,
`sklearn/ensemble/_hist_gradient_boosting/grower.py`): a node's children come after it, within the tree, and it uses a
feature that the rows have. scikit-learn itself checks the types and shapes of the arrays when it loads them.
"""

from typing import Any

import numpy as np

from serving.engines.base import Array
from serving.engines.errors import MalformedArtifactError
from serving.engines.model_parts import parts_of

TREE_TYPES = (
    "sklearn.tree._tree.Tree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
)
_NO_CHILD = -1
_GROWN_NODES = {
    "value": "<f8",
    "feature_idx": "<i8",
    "num_threshold": "<f8",
    "missing_go_to_left": "u1",
    "left": "<u4",
    "right": "<u4",
    "is_leaf": "u1",
    "is_categorical": "u1",
    "bitset_idx": "<u4",
}
# Ensembles that pass whole rows to their trees, unchecked.
_GIVE_WHOLE_ROWS = ("RandomForest", "ExtraTrees", "RandomTrees", "GradientBoosting", "HistGradientBoosting")


def check_trees(model: object) -> None:
    """Check every tree that a loaded model holds.

    Raises:
        MalformedArtifactError: following one could lead outside its arrays, or never end.
    """
    for owner, part in parts_of(model):
        kind = type(part).__name__
        if kind == "Tree":
            _check_tree(part, columns=_columns_of(owner))
        elif kind == "TreePredictor":
            _check_grown_tree(part, columns=_columns_of(owner))
            _check_categories(part, owner)
        elif kind.startswith(_GIVE_WHOLE_ROWS) and hasattr(part, "estimators_"):
            _check_members(part)


def _columns_of(owner: object) -> int:
    columns = getattr(owner, "n_features_in_", None)
    if not isinstance(columns, int | np.integer):
        raise MalformedArtifactError("the artifact has a tree that does not belong to a fitted estimator")
    return int(columns)


def _check_tree(tree: Any, *, columns: int) -> None:  # noqa: ANN401 - compiled, without types
    if tree.node_count > tree.capacity or tree.node_count < 1:
        raise MalformedArtifactError(f"a tree declares {tree.node_count} nodes but has {tree.capacity}")
    left, right = np.asarray(tree.children_left), np.asarray(tree.children_right)
    inner = left != _NO_CHILD
    _check_links(left[inner], right[inner], np.flatnonzero(inner), nodes=tree.node_count)
    _check_features(np.asarray(tree.feature)[inner], columns=min(columns, int(tree.n_features)))


def _check_grown_tree(tree: Any, *, columns: int) -> None:  # noqa: ANN401 - without types
    nodes, bitsets = tree.nodes, tree.raw_left_cat_bitsets
    if not isinstance(nodes, np.ndarray) or nodes.ndim != 1 or not len(nodes):
        raise MalformedArtifactError("a boosted tree has no nodes")
    fields = nodes.dtype.fields or {}
    if any(name not in fields or fields[name][0] != np.dtype(kind) for name, kind in _GROWN_NODES.items()):
        raise MalformedArtifactError("a boosted tree has nodes of the wrong form")
    inner = nodes["is_leaf"] == 0
    _check_links(nodes["left"][inner], nodes["right"][inner], np.flatnonzero(inner), nodes=len(nodes))
    _check_features(nodes["feature_idx"][inner], columns=columns)
    categorical = inner & (nodes["is_categorical"] != 0)
    if categorical.any() and (bitsets.shape[1:] != (8,) or nodes["bitset_idx"][categorical].max() >= len(bitsets)):
        raise MalformedArtifactError("a boosted tree uses categories that it does not contain")


def _check_categories(tree: Any, owner: Any) -> None:  # noqa: ANN401 - without types
    known = np.asarray(owner._bin_mapper.is_categorical_)  # noqa: SLF001 - the tables of categories are built from it
    if known.shape != (_columns_of(owner),):
        raise MalformedArtifactError("a boosted model does not say for each feature whether it has categories")
    categorical = (tree.nodes["is_leaf"] == 0) & (tree.nodes["is_categorical"] != 0)
    if not known[tree.nodes["feature_idx"][categorical]].all():
        raise MalformedArtifactError("a boosted tree uses categories of a feature that has none")


def _check_links(left: Array, right: Array, above: Array, *, nodes: int) -> None:
    for children in (left.astype(np.int64), right.astype(np.int64)):
        if (children <= above).any() or (children >= nodes).any():
            raise MalformedArtifactError("a tree has a branch that leads outside it or back")


def _check_features(features: Array, *, columns: int) -> None:
    if (features < 0).any() or (features >= columns).any():
        raise MalformedArtifactError(f"a tree uses a feature that rows of {columns} values do not have")


def _check_members(ensemble: Any) -> None:  # noqa: ANN401 - whatever estimator the file holds
    members = np.ravel(np.asarray(getattr(ensemble, "estimators_", []), object))
    sizes = {int(member.n_features_in_) for member in members if hasattr(member, "n_features_in_")}
    if sizes - {_columns_of(ensemble)}:
        raise MalformedArtifactError("an ensemble has trees for rows of a different width than its own")
    width = getattr(ensemble, "n_trees_per_iteration_", None)
    if type(ensemble).__name__.startswith("GradientBoosting") and np.shape(ensemble.estimators_)[1:] != (width,):
        raise MalformedArtifactError(
            "a boosted ensemble has a different number of trees per iteration than it declares"
        )
