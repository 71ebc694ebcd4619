"""Checks CatBoost's files before its compiled code reads them: every index has to stay within bounds."""

from pathlib import Path
from typing import TypeAlias

import numpy as np

from schemas.catboost_binary import CatboostBinary, Fields, NotServedError, read_binary
from schemas.flat_tables import FlatTable, Form
from serving.engines.errors import CannotLoadError, MalformedArtifactError
from serving.engines.tree_arrays import Integers, check_bounds, check_within

_MAX_DEPTH = 16
_MAX_BUCKETS = 2**16
_VALUES_OF_A_BUCKET = 254
_BUCKETS, _COUNTS = 1, frozenset({4, 5})
_MEANS = frozenset({2, 3})
_MAX_KIND = 5
_ENTRY = np.dtype([("hash", "<u8"), ("row", "<u4")])
_NO_HASH = 2**64 - 1
_Key: TypeAlias = tuple[tuple[int, ...], tuple[tuple[int, float], ...], tuple[int, ...], int]


def check_catboost(path: Path) -> None:
    """Check a file.

    Raises:
        CannotLoadError: as for `checked_file`.
    """
    checked_file(path)


def checked_file(path: Path) -> tuple[bytes, CatboostBinary]:
    """Return a file that is safe to load, and what it says about its model.

    Raises:
        MalformedArtifactError: CatBoost did not write it.
        CannotLoadError: this kind of model is not served.
    """
    content = path.read_bytes()
    try:
        model = read_binary(content)
        _check_trees(model.trees, dimension=model.dimension)
        _check_statistics(model)
    except NotServedError as error:
        raise CannotLoadError(f"this model of CatBoost is not served: {error}") from error
    except ValueError as error:
        raise MalformedArtifactError(f"the artifact is not a CatBoost model: {error}") from error
    return content, model


def _check_trees(trees: FlatTable, *, dimension: int) -> None:
    splits, sizes = _integers(trees, Fields.SPLITS, "i"), _integers(trees, Fields.SIZES, "i")
    starts = _integers(trees, Fields.STARTS, "i")
    if (sizes < 0).any() or len(starts) != len(sizes):
        raise MalformedArtifactError("the artifact has a tree with a negative size or an invalid start")
    check_bounds(np.append(starts, starts[-1] + sizes[-1] if len(sizes) else 0), len(splits), what="TreeStartOffsets")
    if not np.array_equal(np.diff(np.append(starts, len(splits))), sizes):
        raise MalformedArtifactError("the artifact's TreeStartOffsets are not the beginnings of its trees")
    sizes_of_features = _sizes_of_features(trees)
    # A single-leaf tree is stored as a node at split 0, even if the model has no splits.
    check_within(splits, max(sum(sizes_of_features), 1), what="TreeSplits")
    buckets = sum(-(-size // _VALUES_OF_A_BUCKET) for size in sizes_of_features)
    if buckets > _MAX_BUCKETS:
        raise MalformedArtifactError(f"the artifact has {buckets} groups of borders; CatBoost has {_MAX_BUCKETS}")
    repacked = np.frombuffer(trees.values(Fields.REPACKED, "B", width=4), "<u2")[::2]
    check_within(repacked.astype(np.int64), max(buckets, 1), what="RepackedBins")
    leaves = len(trees.values(Fields.LEAF_VALUES, "d"))
    steps = np.frombuffer(trees.values(Fields.STEPS, "H", width=2), "<u2").astype(np.int64).reshape(-1, 2)
    if len(steps) or trees.values(Fields.LEAVES_OF_NODES, "I"):
        check_within(sizes, len(splits) + 1, start=1, what="TreeSizes")
        _check_steps(trees, steps, ends=np.repeat(starts + sizes, sizes), leaves=leaves, dimension=dimension)
        return
    check_within(sizes, _MAX_DEPTH + 1, what="TreeSizes")
    if int((2**sizes).sum()) * dimension != leaves:
        raise MalformedArtifactError("the artifact's LeafValues are not those of its trees")


def _check_steps(trees: FlatTable, steps: Integers, *, ends: Integers, leaves: int, dimension: int) -> None:
    """Check trees whose nodes store the distance to their children; a distance of 0 means a leaf."""
    nodes = np.arange(len(ends))
    values = _integers(trees, Fields.LEAVES_OF_NODES, "I")
    if len(steps) != len(nodes) or len(values) != len(nodes):
        raise MalformedArtifactError("the artifact's NonSymmetricStepNodes are not one for each node")
    if (nodes[:, np.newaxis] + steps >= ends[:, np.newaxis]).any():
        raise MalformedArtifactError("the artifact has a node that points outside its tree")
    check_within(values[(steps == 0).any(axis=1)], leaves - dimension + 1, what="NonSymmetricNodeIdToLeafId")


def _sizes_of_features(trees: FlatTable) -> list[int]:
    """Return how many splits each feature has."""
    return [
        *(len(feature.values(3, "f")) for feature in trees.tables(Fields.NUMERIC)),
        *(len(feature.values(1, "i")) for feature in trees.tables(Fields.ONE_HOT)),
        *(len(feature.values(1, "f")) for feature in trees.tables(Fields.STATISTICS)),
    ]


def _check_statistics(model: CatboostBinary) -> None:
    classes = {}
    for table in model.statistics:
        key = _key(table.table(0))
        if key in classes:
            raise MalformedArtifactError("the artifact has two tables of the same statistics")
        classes[key] = _checked_classes(table, kind=key[-1])
    for feature in model.trees.tables(Fields.STATISTICS):
        statistic = feature.table(0)
        key = _key(statistic.table(0))
        if key not in classes:
            raise MalformedArtifactError("the artifact lacks a table of statistics that its trees use")
        if not 0 <= statistic.whole(1) < classes[key]:
            raise MalformedArtifactError("the artifact's trees use a class that its statistics do not have")


def _key(base: FlatTable) -> _Key:
    """Return the key by which CatBoost finds a table of statistics."""
    features, kind = base.table(0), base.whole(1, "b")
    if not 0 <= kind <= _MAX_KIND or not all(features.has(field) for field in range(3)):
        raise MalformedArtifactError("the artifact has statistics of a kind that CatBoost does not know")
    splits = np.frombuffer(features.values(1, "B", width=8), [("column", "<i4"), ("border", "<f4")])
    if np.isnan(splits["border"]).any():
        raise MalformedArtifactError("the artifact has statistics at a border that is not a number")
    return tuple(features.values(0, "i")), tuple(splits.tolist()), tuple(features.values(2, "i", width=2)), kind


def _checked_classes(table: FlatTable, *, kind: int) -> int:
    """Check that each category leads to a row of the table, and return how many classes it counts."""
    index = np.frombuffer(table.values(1, "B"), np.uint8)
    if len(index) % _ENTRY.itemsize or not table.has(2):
        raise MalformedArtifactError("the artifact has statistics without rows, or a part of a category")
    entries = index.view(_ENTRY)
    used = entries["hash"] != _NO_HASH
    # CatBoost masks a hash by the number of entries, and probes until it finds an unused one.
    if len(entries).bit_count() != 1 or used.all():
        raise MalformedArtifactError("the artifact has statistics that CatBoost would search endlessly")
    classes = table.whole(4)
    row_bytes, held = _row(kind, classes)
    check_within(entries["row"][used].astype(np.int64), len(table.values(2, "B")) // row_bytes, what="CTRBlob")
    return held


def _row(kind: int, classes: int) -> tuple[int, int]:
    """Return the bytes per row, and the number of classes that may be requested."""
    if kind in _COUNTS:
        return 4, 2**31
    if kind in _MEANS:
        return 8, 2**31
    if kind == _BUCKETS and classes < 1:
        raise MalformedArtifactError("the artifact has statistics of no class")
    # For two classes both are stored, whatever the table says.
    held = classes if kind == _BUCKETS else max(classes, 2)
    return 4 * held, held


def _integers(trees: FlatTable, field: int, form: Form) -> Integers:
    return np.asarray(trees.values(field, form)).astype(np.int64)
