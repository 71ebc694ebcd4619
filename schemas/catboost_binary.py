"""CatBoost's own files (`.cbm`): how they are read, and what they say of their model."""

import json
import struct
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import msgspec

from schemas.boosted_model import BoostedModel, classification, regression
from schemas.events.registry import Datatype, Tensor
from schemas.flat_tables import FlatTable

Label: TypeAlias = bool | float | int | str

_MAGIC = b"CBM1"
_FORMAT = "FlabuffersModel_v1"
_STATISTICS = "static_provider_v1"
_MAX_COLUMNS = 1_000_000
_MAX_DIMENSION = 100_000
_MAX_LABEL = 2**53
_BINARY = frozenset({"Logloss", "CrossEntropy", "Focal"})
_MULTICLASS = frozenset({"MultiClass", "MultiClassOneVsAll"})
_MULTILABEL = frozenset({"MultiLogloss", "MultiCrossEntropy"})
_EXPONENTS = frozenset({"Poisson", "Tweedie"})
_WITH_VARIANCE = "RMSEWithUncertainty"
_DATATYPES: dict[str, tuple[Datatype, tuple[type, ...]]] = {
    "Integer": ("INT64", (int,)),
    "Float": ("FP64", (int, float)),
    "Boolean": ("BOOL", (bool,)),
    "String": ("BYTES", (str,)),
}


class _Loss(msgspec.Struct):
    type: str = ""


class _Classes(msgspec.Struct):
    class_names: list[Label] = []
    classes_count: int = 0
    class_to_label: list[float] = []
    class_label_type: Literal["Integer", "Float", "Boolean", "String"] = "Integer"


class NotServedError(ValueError):
    """The model takes what no input of a signature can give it."""


class Fields:
    """Numbers of the fields of a model's trees."""

    DIMENSION = 0
    SPLITS = 1
    SIZES = 2
    STARTS = 3
    CATEGORICAL = 4
    NUMERIC = 5
    ONE_HOT = 6
    STATISTICS = 7
    LEAF_VALUES = 8
    STEPS = 10
    LEAVES_OF_NODES = 11
    TEXTS = 12
    ESTIMATED = 13
    REPACKED = 17
    EMBEDDINGS = 18


class CatboostBinary(msgspec.Struct, frozen=True, kw_only=True):
    """`categorical` are the columns that hold categories; `names` are empty where CatBoost only counted the columns.

    `dimension` is the number of sums that the trees give a row. `labels` are one for each class of a classifier.
    `threshold` is the probability above which the second of two classes is answered, if the file has one.
    `statistics` are the tables that categories are looked up in.
    """

    columns: int
    categorical: frozenset[int]
    names: tuple[str, ...]
    dimension: int
    loss: str
    labels: tuple[Label, ...]
    label_datatype: Datatype
    threshold: float | None
    trees: FlatTable
    statistics: tuple[FlatTable, ...]

    @property
    def prediction(self) -> str:
        """What CatBoost calls the prediction that is answered."""
        if self.loss in _BINARY | _MULTICLASS | _MULTILABEL:
            return "Probability"
        if self.loss == _WITH_VARIANCE:
            return self.loss
        return "Exponent" if self.loss in _EXPONENTS else "RawFormulaVal"

    @property
    def is_multilabel(self) -> bool:
        """Whether a row may belong to several classes."""
        return self.loss in _MULTILABEL

    def described(self) -> BoostedModel:
        """Return what follows for a signature."""
        return BoostedModel(
            library="CatBoost",
            columns=self.columns,
            categorical=self.categorical,
            names=self.names,
            datatype="FP32",
            outputs=self._outputs(),
        )

    def _outputs(self) -> tuple[Tensor, ...]:
        if self.is_multilabel:
            label, probabilities = classification(classes=self.dimension)
            return msgspec.structs.replace(label, shape=probabilities.shape), probabilities
        if self.prediction == "Probability":
            label, probabilities = classification(classes=len(self.labels))
            return msgspec.structs.replace(label, datatype=self.label_datatype), probabilities
        return regression(targets=self.dimension, datatype="FP64")


def read_binary(content: bytes | memoryview) -> CatboostBinary:
    """Read a file.

    Raises:
        NotServedError: it takes texts or embeddings.
        ValueError: CatBoost did not write it.
    """
    if content[:4] != _MAGIC:
        raise ValueError("it does not begin like a CatBoost file")
    core, rest = _sized(memoryview(content)[4:])
    model = FlatTable.root_of(core)
    if model.text(0) != _FORMAT:
        raise ValueError(f"it is not of the format {_FORMAT}")
    trees = model.table(1)
    dimension = trees.whole(Fields.DIMENSION)
    if not 0 < dimension <= _MAX_DIMENSION:
        raise ValueError(f"it has {dimension} values per row, which is not valid")
    known = {pair.text(0): pair.text(1) for pair in model.tables(2)}
    loss = _loss(known)
    if loss in _BINARY and dimension != 1:
        raise ValueError(f"it has {dimension} values per row for two classes")
    labels: tuple[tuple[Label, ...], Datatype] = ((), "INT64")
    if loss in _BINARY | _MULTICLASS:
        labels = _labels(known, count=2 if loss in _BINARY else dimension)
    threshold = known.get("binclass_probability_threshold") if loss in _BINARY else None
    columns, categorical, names = _columns(trees)
    return CatboostBinary(
        columns=columns,
        categorical=categorical,
        names=names,
        dimension=dimension,
        loss=loss,
        labels=labels[0],
        label_datatype=labels[1],
        threshold=None if threshold is None else float(threshold),
        trees=trees,
        statistics=_statistics(model.texts(3), rest),
    )


def _sized(content: memoryview) -> tuple[memoryview, memoryview]:
    """Divide into a part, which follows its size, and the rest."""
    if len(content) < 4:  # noqa: PLR2004 - the size has four bytes
        raise ValueError("it ends too early")
    end = 4 + struct.unpack("<I", content[:4])[0]
    if end > len(content):
        raise ValueError("it ends too early")
    return content[4:end], content[end:]


def _statistics(parts: list[str], rest: memoryview) -> tuple[FlatTable, ...]:
    tables: list[FlatTable] = []
    if parts == [_STATISTICS] and len(rest) >= 4:  # noqa: PLR2004 - the number of tables has four bytes
        count, rest = struct.unpack("<I", rest[:4])[0], rest[4:]
        while len(tables) < count:
            table, rest = _sized(rest)
            tables.append(FlatTable.root_of(table))
    elif parts:
        raise ValueError("it has parts that belong to models of text or embeddings")
    if rest:
        raise ValueError("there is data after its end")
    return tuple(tables)


def _columns(trees: FlatTable) -> tuple[int, frozenset[int], tuple[str, ...]]:
    if any(trees.tables(field) for field in (Fields.TEXTS, Fields.ESTIMATED, Fields.EMBEDDINGS)):
        raise NotServedError("it takes texts or embeddings; only numbers and categories are served")
    # A feature of categories has no first field, so that its fields are one less.
    numeric = [(it.whole(1, default=-1), it.whole(2, default=-1), it.text(4)) for it in trees.tables(Fields.NUMERIC)]
    categorical = [
        (it.whole(0, default=-1), it.whole(1, default=-1), it.text(2)) for it in trees.tables(Fields.CATEGORICAL)
    ]
    for features in (numeric, categorical):
        for places in ([-1, *(it[0] for it in features)], [-1, *(it[1] for it in features)]):
            if any(before >= after for before, after in pairwise(places)):
                raise ValueError("its columns are out of order")
    names = {column: name for _, column, name in numeric + categorical}
    columns = max(names, default=-1) + 1
    if not 0 < columns <= _MAX_COLUMNS or len(names) < len(numeric) + len(categorical):
        raise ValueError(f"it has {columns} columns, or one of them twice, which is not valid")
    is_named = len(names) == columns and any(names[column] not in {"", str(column)} for column in range(columns))
    return (
        columns,
        frozenset(column for _, column, _ in categorical),
        tuple(names[column] for column in range(columns)) if is_named else (),
    )


def _loss(known: dict[str, str]) -> str:
    loss = _document(known, "params").get("loss_function") or _document(known, "loss_function")
    return msgspec.convert(loss, _Loss).type


def _labels(known: dict[str, str], *, count: int) -> tuple[tuple[Label, ...], Datatype]:
    classes = msgspec.convert(_document(known, "class_params") or _document(known, "multiclass_params"), _Classes)
    numbers = [int(label) for label in classes.class_to_label if abs(label) < _MAX_LABEL]
    labels = tuple(classes.class_names or (not classes.classes_count and numbers) or range(count))
    datatype, types = _DATATYPES[classes.class_label_type]
    if len(labels) != count or not all(type(label) in types for label in labels):
        raise ValueError("its classes do not match the number or type that it states")
    return labels, datatype


def _document(known: dict[str, str], name: str) -> dict[str, Any]:
    try:
        document = json.loads(known.get(name, "{}"))
    except (RecursionError, ValueError) as error:
        raise ValueError(f"its {name} are not JSON ({error})") from error
    if not isinstance(document, dict):
        raise ValueError(f"its {name} are not an object")  # noqa: TRY004 - what a file holds, not what a caller passed
    return document
