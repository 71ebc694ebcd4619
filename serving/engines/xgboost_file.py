"""Checks XGBoost's files before its compiled code reads them: every index has to stay within bounds."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from schemas.xgboost_document import XgboostDocument, read_document
from serving.engines.errors import CannotLoadError, MalformedArtifactError
from serving.engines.tree_arrays import check_bounds, check_descent, check_numbers, check_within, integers

_MAX_CATEGORY = 2**24
_CATEGORICAL = 1
_FLOAT = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?")
_NO_PARENT = 2**31 - 1
_OF_EACH_NODE = ("base_weights", "loss_changes", "split_conditions", "sum_hessian")


def check_xgboost(path: Path) -> None:
    """Check a file.

    Raises:
        CannotLoadError: as for `checked_file`.
    """
    checked_file(path)


def checked_file(path: Path) -> tuple[bytes, XgboostDocument]:
    """Return a file that is safe to load, and what it says about its model.

    Raises:
        MalformedArtifactError: XGBoost did not write it.
        CannotLoadError: this kind of model is not served.
    """
    content = path.read_bytes()
    try:
        document = read_document(content)
        _check_booster(document, document.booster)
        _check_base_score(document)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise MalformedArtifactError(f"the artifact is not an XGBoost model: {error}") from error
    return content, document


def _check_base_score(document: XgboostDocument) -> None:
    scores = document.base_score.removeprefix("[").removesuffix("]").split(",")
    if len(scores) not in {1, document.groups} or not all(_FLOAT.fullmatch(score) for score in scores):
        raise MalformedArtifactError("the artifact's base_score is not valid")


def _check_booster(document: XgboostDocument, booster: dict[str, Any]) -> None:
    match booster["name"]:
        case "gbtree":
            _check_forest(document, booster["model"])
        case "dart":
            forest = booster["gbtree"]["model"]
            _check_forest(document, forest)
            check_numbers(booster["weight_drop"], size=len(forest["trees"]), what="weight_drop")
        case "gblinear":
            check_numbers(booster["model"]["weights"], size=(document.columns + 1) * document.groups, what="weights")
        case name:
            raise MalformedArtifactError(f"the artifact's booster is {name!r}, which XGBoost does not know")


def _check_forest(document: XgboostDocument, forest: dict[str, Any]) -> None:
    trees = forest["trees"]
    if int(forest["gbtree_model_param"]["num_trees"]) != len(trees):
        raise MalformedArtifactError("the artifact's num_trees is not the number of its trees")
    check_within(integers(forest["tree_info"], size=len(trees), what="tree_info"), document.groups, what="tree_info")
    if "iteration_indptr" in forest:
        bounds = integers(forest["iteration_indptr"], what="iteration_indptr")
        check_bounds(bounds, len(trees), what="iteration_indptr")
    if [tree["id"] for tree in trees] != list(range(len(trees))):
        raise MalformedArtifactError("the artifact's trees are out of order")
    _check_categories(document, forest.get("cats", {"enc": []}))
    for tree in trees:
        _check_tree(document, tree)


def _check_tree(document: XgboostDocument, tree: dict[str, Any]) -> None:
    parameters = tree["tree_param"]
    if int(parameters["size_leaf_vector"]) > 1:
        raise CannotLoadError(
            "trees whose leaves are vectors are not served; train with multi_strategy='one_output_per_tree'"
        )
    nodes = int(parameters["num_nodes"])
    left = integers(tree["left_children"], size=nodes, what="left_children")
    right = integers(tree["right_children"], size=nodes, what="right_children")
    columns = integers(tree["split_indices"], size=nodes, what="split_indices")
    parents = integers(tree["parents"], size=nodes, what="parents")
    integers(tree["default_left"], size=nodes, what="default_left")
    for name in _OF_EACH_NODE:
        check_numbers(tree[name], size=nodes, what=name)
    if nodes < 1 or int(parameters["num_feature"]) != document.columns:
        raise MalformedArtifactError("the artifact has a tree without nodes, or for different columns")
    splits = left != -1
    if (splits != (right != -1)).any():
        raise MalformedArtifactError("the artifact has a node with one child")
    check_descent(np.concatenate([left[splits], right[splits]]), nodes, what="a tree")
    check_within(columns[splits], document.columns, what="split_indices")
    expected = np.full(nodes, _NO_PARENT)
    expected[left[splits]] = expected[right[splits]] = np.flatnonzero(splits)
    # No parent leads to a node that was pruned, so it is never reached.
    if not ((parents == expected) | ((expected == _NO_PARENT) & (parents >= 0) & (parents < nodes))).all():
        raise MalformedArtifactError("the artifact's parents do not match the children")
    _check_categorical_splits(tree, nodes)


def _check_categorical_splits(tree: dict[str, Any], nodes: int) -> None:
    kinds = integers(tree["split_type"], size=nodes, what="split_type")
    check_within(kinds, 2, what="split_type")
    found = integers(tree["categories_nodes"], what="categories_nodes")
    if not np.array_equal(np.flatnonzero(kinds == _CATEGORICAL), found):
        raise MalformedArtifactError("the artifact's categories_nodes are not its categorical splits")
    categories = integers(tree["categories"], what="categories")
    check_within(categories, _MAX_CATEGORY, what="categories")
    starts = integers(tree["categories_segments"], size=len(found), what="categories_segments")
    sizes = integers(tree["categories_sizes"], size=len(found), what="categories_sizes")
    check_within(starts, len(categories), what="categories_segments")
    check_within(sizes, len(categories) + 1, start=1, what="categories_sizes")
    check_within(starts + sizes, len(categories) + 1, what="categories_sizes")


def _check_categories(document: XgboostDocument, categories: dict[str, Any]) -> None:
    """Check the category values of a data frame; numbers are not looked up in them."""
    encodings = categories["enc"]
    if not len(encodings):
        return
    if len(encodings) != document.columns:
        raise MalformedArtifactError("the artifact has categories for different columns")
    order = integers(categories["sorted_idx"], what="sorted_idx")
    segments = integers(categories["feature_segments"], size=document.columns + 1, what="feature_segments")
    check_bounds(segments, len(order), what="feature_segments")
    for encoding, start, end in zip(encodings, segments[:-1], segments[1:], strict=True):
        count = len(encoding["values"])
        if "offsets" in encoding:
            offsets = integers(encoding["offsets"], what="offsets")
            if offsets.size or count:
                check_bounds(offsets, count, what="offsets")
            count = max(len(offsets) - 1, 0)
        if count != end - start:
            raise MalformedArtifactError("the artifact's feature_segments are not its categories")
        check_within(order[start:end], count, what="sorted_idx")
