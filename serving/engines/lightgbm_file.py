"""Checks LightGBM's files, and rewrites them with only what was checked, before its compiled code reads them."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.lightgbm_text import LightgbmText, read_text
from serving.engines.errors import CannotLoadError, MalformedArtifactError
from serving.engines.tree_arrays import Integers, check_bounds, check_descent, check_within

_HEADER = ("version", "num_class", "num_tree_per_iteration", "label_index", "max_feature_idx", "objective")
_PLAIN = re.compile(r"[\w.:+ -]*", re.ASCII)
_MAX_LEAVES = 10_000_000
_CATEGORICAL = 1
_MAX_DECISION_TYPE = 16


def check_lightgbm(path: Path) -> None:
    """Check a file.

    Raises:
        CannotLoadError: as for `rebuilt_file`.
    """
    rebuilt_file(path)


def rebuilt_file(path: Path) -> tuple[str, LightgbmText]:
    """Return a text that is safe to load, and what the file says about its model.

    Raises:
        MalformedArtifactError: LightGBM did not write it.
        CannotLoadError: this kind of model is not served.
    """
    try:
        model = read_text(path.read_bytes())
        parts = [_header(model)]
        parts.extend(f"Tree={number}\n{_tree(model, tree)}\n\n" for number, tree in enumerate(model.trees))
    except (KeyError, ValueError, OverflowError) as error:
        raise MalformedArtifactError(f"the artifact is not a LightGBM model: {error}") from error
    return "".join((*parts, "end of trees\n\n")), model


def _header(model: LightgbmText) -> str:
    header = model.header
    if int(header["num_class"]) != model.groups or len(model.trees) % model.groups:
        raise MalformedArtifactError("the artifact's num_class is not the number of its groups")
    is_multiclass = f"num_class:{model.groups}" in model.objective
    if is_multiclass != any(part.startswith("num_class:") for part in model.objective):
        raise MalformedArtifactError("the artifact's objective is for another number of classes")
    if (model.objective[:1] in {("multiclass",), ("multiclassova",)}) != is_multiclass:
        raise MalformedArtifactError("the artifact's objective does not say its classes")
    kept = {name: header[name] for name in _HEADER if name in header}
    if not all(_PLAIN.fullmatch(value) for value in kept.values()):
        raise MalformedArtifactError("the artifact's header has characters that LightGBM does not write")
    # Columns are identified by their position. The sizes of trees, which the reader would use to skip, are left out.
    kept["feature_names"] = " ".join(f"Column_{number}" for number in range(model.columns))
    kept["feature_infos"] = " ".join(["none"] * model.columns)
    flags = ["average_output"] if "average_output" in header else []
    return "\n".join(("tree", *(f"{name}={value}" for name, value in kept.items()), *flags, "", ""))


def _tree(model: LightgbmText, tree: dict[str, str]) -> str:
    leaves, categorical = int(tree["num_leaves"]), int(tree["num_cat"])
    if int(tree.get("is_linear", "0")):
        raise CannotLoadError("trees with linear leaves are not served; train without linear_tree")
    if not 1 <= leaves <= _MAX_LEAVES or categorical < 0:
        raise MalformedArtifactError("the artifact has a tree without leaves")
    splits = leaves - 1
    left, right = _integers(tree, "left_child", splits), _integers(tree, "right_child", splits)
    children = np.concatenate([left, right])
    check_descent(children[children >= 0], splits, what="a tree")
    check_within(~children[children < 0], leaves, what="a tree's leaves")
    check_within(_integers(tree, "split_feature", splits), model.columns, what="split_feature")
    decisions, thresholds = _integers(tree, "decision_type", splits), _numbers(tree, "threshold", splits)
    check_within(decisions, _MAX_DECISION_TYPE, what="decision_type")
    chosen = thresholds[decisions & _CATEGORICAL == _CATEGORICAL]
    _numbers(tree, "leaf_value", leaves)
    _numbers(tree, "shrinkage", 1)
    kept = ["num_leaves", "num_cat", "split_feature", "threshold", "decision_type", "left_child", "right_child"]
    kept += ["leaf_value", "shrinkage"]
    if categorical:
        bits = _integers(tree, "cat_threshold", None)
        check_within(bits, 2**32, what="cat_threshold")
        check_bounds(_integers(tree, "cat_boundaries", categorical + 1), len(bits), what="cat_boundaries")
        kept += ["cat_boundaries", "cat_threshold"]
    if chosen.size and (not categorical or not ((chosen >= 0) & (chosen < categorical)).all()):
        raise MalformedArtifactError("the artifact has a categorical split without categories")
    return "\n".join(f"{name}={tree[name]}" for name in kept)


def _integers(tree: dict[str, str], name: str, size: int | None) -> Integers:
    return np.array(_words(tree, name, size), dtype=np.int64)


def _numbers(tree: dict[str, str], name: str, size: int) -> npt.NDArray[Any]:
    return np.array(_words(tree, name, size), dtype=np.float64)


def _words(tree: dict[str, str], name: str, size: int | None) -> list[str]:
    words = tree.get(name, "").split()
    if size is not None and len(words) != size:
        raise MalformedArtifactError(f"{name} is not a list of {size} numbers")
    if not all(_PLAIN.fullmatch(word) for word in words):
        raise MalformedArtifactError(f"{name} has characters that LightGBM does not write")
    return words
