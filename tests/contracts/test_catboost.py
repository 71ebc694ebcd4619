"""Models of CatBoost answer as CatBoost itself does, and a file that would lead its compiled code astray is refused."""

import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from control_plane.artifacts.boosted_file import check_catboost
from control_plane.artifacts.errors import UnservableModelError
from control_plane.errors import Refused
from schemas.catboost_binary import Fields, read_binary
from serving.engines.artifact_check import check_artifact
from serving.engines.base import load_engine
from serving.engines.errors import CannotLoadError, EngineError, SignatureMismatchError
from tests.support.boosted_models import rows_with_categories, told_signature, tried_engine
from tests.support.sklearn_models import signature_of

pytestmark = pytest.mark.extras

_SETTINGS = {"iterations": 5, "depth": 3, "thread_count": 1, "logging_level": "Silent", "allow_writing_files": False}
# Of so few rows CatBoost would store no statistics of categories, but the categories themselves.
_STATISTICS: dict[str, Any] = {"one_hot_max_size": 1}


def _rows() -> Any:  # noqa: ANN401 - an array
    return np.random.default_rng(3).normal(size=(200, 4)).astype(np.float32)


def _saved(rows: Any, target: Any, path: Path, *, kind: str = "CatBoostRegressor", **settings: Any) -> Any:  # noqa: ANN401 - CatBoost has no annotations
    import catboost  # noqa: PLC0415 - an extra

    model = getattr(catboost, kind)(**_SETTINGS, **settings).fit(rows, target)
    model.save_model(path)
    return model


def _saved_with_categories(path: Path, **settings: Any) -> Any:  # noqa: ANN401 - the same
    frame, target = rows_with_categories()
    return _saved(frame, target, path, cat_features=["city"], **settings)


@pytest.mark.parametrize("settings", [{}, _STATISTICS, {**_STATISTICS, "simple_ctr": ["Buckets", "Counter"]}])
def test_categories_are_given_as_they_are_in_any_order_of_the_inputs(tmp_path: Path, settings: dict[str, Any]) -> None:
    frame, _ = rows_with_categories()
    model = _saved_with_categories(tmp_path / "model.cbm", **settings)
    signature = signature_of("age:FP32:-1 city:BYTES:-1", "price:FP64:-1")

    told = told_signature("catboost", tmp_path / "model.cbm", tmp_path)
    engine = tried_engine("catboost", tmp_path / "model.cbm", signature)
    columns = {"age": frame.age.to_numpy(np.float32), "city": frame.city.to_numpy(object)}

    assert told == signature_of("city:BYTES:-1 age:FP32:-1", "value:FP64:-1")
    assert np.array_equal(engine.predict(columns)["price"], model.predict(frame))


def test_categories_may_be_whole_numbers_and_unnamed_columns_are_joined_to_runs(tmp_path: Path) -> None:
    rows, path = _rows(), tmp_path / "model.cbm"
    numbers = np.random.default_rng(5).integers(-3, 2**40, size=200)
    mixed = [[float(a), int(number), float(b), float(c)] for (a, b, c, _), number in zip(rows, numbers, strict=True)]
    model = _saved(mixed, rows[:, 0] + numbers % 2, path, cat_features=[1], **_STATISTICS)

    told = told_signature("catboost", path, tmp_path)
    answers = tried_engine(
        "catboost", path, signature_of("x0:FP32:-1x1 x1:INT64:-1x1 x2:FP32:-1x2", "value:FP64:-1")
    ).predict({"x0": rows[:, :1], "x1": numbers[:, np.newaxis], "x2": rows[:, 1:3]})

    assert told == signature_of("x0:FP32:-1x1 x1:BYTES:-1x1 x2:FP32:-1x2", "value:FP64:-1")
    assert np.array_equal(answers["value"], model.predict(mixed))


@pytest.mark.parametrize(
    ("classes", "datatype"),
    [
        ((0, 1), "INT64"),
        ((5, 7, 9), "INT64"),
        (("no", "yes"), "BYTES"),
        ((0.5, 1.5, 2.5), "FP64"),
        ((False, True), "BOOL"),
    ],
)
def test_labels_are_the_classes_that_the_model_was_trained_on(
    tmp_path: Path, classes: tuple[Any, ...], datatype: str
) -> None:
    rows, path = _rows(), tmp_path / "model.cbm"
    target = np.array(classes)[np.argsort(np.argsort(rows[:, 0])) * len(classes) // len(rows)]
    model = _saved(rows, target, path, kind="CatBoostClassifier")

    told = told_signature("catboost", path, tmp_path)
    answers = tried_engine("catboost", path, told).predict({"x": rows})

    assert told == signature_of("x:FP32:-1x4", f"label:{datatype}:-1 probabilities:FP32:-1x{len(classes)}")
    assert answers["label"].tolist() == model.predict(rows).reshape(-1).tolist()
    assert np.allclose(answers["probabilities"], model.predict_proba(rows))


def test_a_threshold_in_the_file_decides_between_two_classes(tmp_path: Path) -> None:
    rows, path = _rows(), tmp_path / "model.cbm"
    model = _saved(rows, rows[:, 0] > 0, path, kind="CatBoostClassifier")
    model.set_probability_threshold(0.8)
    model.save_model(path)

    answers = tried_engine("catboost", path, told_signature("catboost", path, tmp_path)).predict({"x": rows})

    assert answers["label"].tolist() == model.predict(rows).tolist()
    assert answers["label"].tolist() != (answers["probabilities"][:, 1] > 0.5).tolist()


def test_a_row_may_belong_to_several_classes(tmp_path: Path) -> None:
    rows, path = _rows(), tmp_path / "model.cbm"
    model = _saved(rows, (rows[:, :3] > 0).astype(int), path, kind="CatBoostClassifier", loss_function="MultiLogloss")

    told = told_signature("catboost", path, tmp_path)
    answers = tried_engine("catboost", path, told).predict({"x": rows})

    assert told == signature_of("x:FP32:-1x4", "label:INT64:-1x3 probabilities:FP32:-1x3")
    assert np.array_equal(answers["label"], model.predict(rows))
    assert np.allclose(answers["probabilities"], model.predict_proba(rows))


@pytest.mark.parametrize(
    "settings",
    [
        {"grow_policy": "Depthwise"},
        {"grow_policy": "Lossguide", "max_leaves": 5},
        *({"loss_function": loss} for loss in ("Poisson", "Tweedie:variance_power=1.5", "RMSEWithUncertainty")),
        *({"loss_function": loss} for loss in ("Quantile:alpha=0.2", "MultiQuantile:alpha=0.2,0.8", "Huber:delta=1")),
    ],
    ids=lambda settings: next(iter(settings.values())),
)
def test_values_are_what_the_regressor_predicts(tmp_path: Path, settings: dict[str, Any]) -> None:
    rows, path = _rows(), tmp_path / "model.cbm"
    model = _saved(rows, np.abs(rows[:, 0]), path, **settings)

    answers = tried_engine("catboost", path, told_signature("catboost", path, tmp_path)).predict({"x": rows})

    assert np.array_equal(answers["value"], model.predict(rows))


def test_a_model_without_splits_answers_its_constant(tmp_path: Path) -> None:
    rows, path = _rows(), tmp_path / "model.cbm"
    for policy in ("SymmetricTree", "Depthwise"):
        _saved(rows, np.full(200, 7.0), path, grow_policy=policy, allow_const_label=True, bootstrap_type="No")

        answers = tried_engine("catboost", path, told_signature("catboost", path, tmp_path)).predict({"x": rows})

        assert set(answers["value"].tolist()) == {7.0}


def test_missing_numbers_are_answered_where_the_signature_allows_them(tmp_path: Path) -> None:
    rows, path = _rows(), tmp_path / "model.cbm"
    rows[::3, 0] = np.nan
    model = _saved(rows, rows[:, 1], path)

    answers = tried_engine("catboost", path, signature_of("x:FP32:-1x4:missing", "value:FP64:-1")).predict({"x": rows})

    assert np.array_equal(answers["value"], model.predict(rows))


@pytest.mark.parametrize(
    ("inputs", "detail"),
    [
        ("city:FP32:-1 age:FP32:-1", "takes categories"),
        ("city:BYTES:-1 age:BYTES:-1", "takes numbers"),
        ("x:FP32:-1x2", "takes categories"),
        ("city:BYTES:-1 height:FP32:-1", "named city, age"),
    ],
)
def test_a_signature_that_does_not_fit_is_refused_with_the_one_that_does(
    tmp_path: Path, inputs: str, detail: str
) -> None:
    path, signature = tmp_path / "model.cbm", signature_of(inputs, "value:FP64:-1")
    _saved_with_categories(path)

    with path.open("rb") as file:
        told = check_catboost(file)
    assert told is not None
    difference = told.difference_from(signature)
    assert difference is not None
    assert detail in difference.detail
    with pytest.raises(
        SignatureMismatchError, match="--input city:BYTES:-1 --input age:FP32:-1 --output value:FP64:-1"
    ):
        load_engine("catboost", path, signature)


def test_a_model_of_texts_is_refused_at_registration_with_what_would_be_served(tmp_path: Path) -> None:
    path = tmp_path / "model.cbm"
    texts = [[f"word{number % 3} and more"] for number in range(200)]
    _saved(texts, [number % 3 > 0 for number in range(200)], path, kind="CatBoostClassifier", text_features=[0])

    with path.open("rb") as file, pytest.raises(UnservableModelError, match="texts or embeddings"):
        check_catboost(file)
    with pytest.raises(CannotLoadError, match="only numbers and categories"):
        check_artifact("catboost", path)


def _trees(content: memoryview) -> Any:  # noqa: ANN401 - whose lists can be written to
    return read_binary(content).trees


def _statistics(content: memoryview) -> Any:  # noqa: ANN401 - the same
    return read_binary(content).statistics[0]


def _fill_the_index(content: memoryview, *, row: int, leaves_one_unused: bool) -> None:
    index = _statistics(content).values(1, "B")
    entries = np.zeros(len(index) // 12, [("hash", "<u8"), ("row", "<u4")])
    entries["row"] = row
    entries["hash"][-1] = 2**64 - 1 if leaves_one_unused else 0
    index[:] = entries.tobytes()


SYMMETRIC: dict[str, Callable[[memoryview], object]] = {
    "a split beyond the borders": lambda it: _trees(it).values(Fields.SPLITS, "i").__setitem__(0, 999),
    "a split before the borders": lambda it: _trees(it).values(Fields.SPLITS, "i").__setitem__(0, -1),
    "a tree that begins in another": lambda it: _trees(it).values(Fields.STARTS, "i").__setitem__(1, 0),
    "a tree with a negative size": lambda it: _trees(it).values(Fields.SIZES, "i").__setitem__(0, -3),
    "a tree with other leaves": lambda it: _trees(it).values(Fields.SIZES, "i").__setitem__(4, 2),
    "a border of a column that is none": lambda it: _trees(it).values(Fields.REPACKED, "H", width=2).__setitem__(0, 99),
    "a row beyond the statistics": lambda it: _fill_the_index(it, row=999, leaves_one_unused=True),
    "an index that is searched without an end": lambda it: _fill_the_index(it, row=0, leaves_one_unused=False),
}
STEPWISE: dict[str, Callable[[memoryview], object]] = {
    "a step out of the tree": lambda it: _trees(it).values(Fields.STEPS, "H", width=2).__setitem__(0, 60000),
    "a leaf beyond the leaves": lambda it: _trees(it).values(Fields.LEAVES_OF_NODES, "I").__setitem__(-1, 999),
    "nodes that all go on": lambda it: _trees(it).values(Fields.STEPS, "H", width=2).__setitem__(-1, 1),
}


@pytest.mark.parametrize(
    ("harm", "settings"),
    [
        *(pytest.param(harm, _STATISTICS, id=name) for name, harm in SYMMETRIC.items()),
        *(pytest.param(harm, {"grow_policy": "Depthwise"}, id=name) for name, harm in STEPWISE.items()),
    ],
)
def test_a_file_that_leads_out_of_its_own_lists_is_refused(
    tmp_path: Path, harm: Callable[[memoryview], object], settings: dict[str, Any]
) -> None:
    path = tmp_path / "model.cbm"
    _saved_with_categories(path, **settings)
    check_artifact("catboost", path)
    content = bytearray(path.read_bytes())
    harm(memoryview(content))
    path.write_bytes(content)

    with pytest.raises(CannotLoadError):
        check_artifact("catboost", path)


def test_a_file_that_ends_too_early_or_goes_on_is_refused_at_registration(tmp_path: Path) -> None:
    path = tmp_path / "model.cbm"
    _saved_with_categories(path, **_STATISTICS)
    whole = path.read_bytes()

    for content in (*(whole[:length] for length in range(0, len(whole), 7)), whole + b"\0"):
        with pytest.raises(Refused):
            check_catboost(io.BytesIO(content))


@pytest.mark.parametrize("settings", [_STATISTICS, {"grow_policy": "Lossguide"}])
def test_no_damage_ends_the_process_that_loads_the_file(tmp_path: Path, settings: dict[str, Any]) -> None:
    path, chance = tmp_path / "model.cbm", random.Random(11)
    _saved_with_categories(path, **settings)
    whole, outcomes = path.read_bytes(), set()
    frame, _ = rows_with_categories()
    columns = {"age": frame.age.to_numpy(np.float32), "city": frame.city.to_numpy(object)}
    signature = signature_of("age:FP32:-1 city:BYTES:-1", "value:FP64:-1")

    for _ in range(400):
        damaged = bytearray(whole)
        place = chance.randrange(len(damaged))
        damaged[place] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        try:
            load_engine("catboost", path, signature).predict(columns)
            outcomes.add("answers")
        except EngineError:
            outcomes.add("refused")

    assert outcomes == {"answers", "refused"}
