"""Models of XGBoost answer as XGBoost itself does, and a file that would lead its compiled code astray is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost

from control_plane.artifacts.boosted_file import check_xgboost
from schemas.xgboost_document import read_document
from serving.engines.artifact_check import check_artifact
from serving.engines.base import load_engine
from serving.engines.errors import CannotLoadError, SignatureMismatchError
from tests.support.boosted_models import rows_with_categories, told_signature, tried_engine
from tests.support.sklearn_models import signature_of


def _trained(objective: str = "reg:squarederror", **parameters: Any) -> xgboost.Booster:  # noqa: ANN401 - of XGBoost
    frame, target = rows_with_categories()
    wanted = target if objective.startswith("reg") else target > 0
    matrix = xgboost.DMatrix(frame, label=wanted, enable_categorical=True)
    return xgboost.train({"objective": objective, "max_depth": 3, "nthread": 1, **parameters}, matrix, 3)


def _columns() -> dict[str, Any]:
    frame, _ = rows_with_categories()
    return {"city": frame.city.cat.codes.to_numpy(np.float32), "age": frame.age.to_numpy(np.float32)}


@pytest.mark.parametrize("form", ["ubj", "json"])
def test_categories_are_given_as_their_codes_in_any_order_of_the_inputs(form: str, tmp_path: Path) -> None:
    booster, path = _trained(), tmp_path / f"model.{form}"
    booster.save_model(path)
    signature = signature_of("age:FP32:-1 city:FP32:-1:missing", "price:FP32:-1")

    answers = tried_engine("xgboost", path, signature).predict(_columns())

    frame, _ = rows_with_categories()
    assert np.array_equal(answers["price"], booster.predict(xgboost.DMatrix(frame, enable_categorical=True)))


def test_a_binary_classifier_answers_labels_and_both_probabilities(tmp_path: Path) -> None:
    booster, path = _trained("binary:logistic"), tmp_path / "model.ubj"
    booster.save_model(path)

    told = told_signature("xgboost", path, tmp_path)
    answers = tried_engine("xgboost", path, told).predict(_columns())

    assert told == signature_of("city:FP32:-1 age:FP32:-1", "label:INT64:-1 probabilities:FP32:-1x2")
    positive = booster.inplace_predict(np.column_stack([*_columns().values()]))
    assert np.allclose(answers["probabilities"], np.column_stack([1 - positive, positive]))
    assert answers["label"].tolist() == (positive > 0.5).astype(int).tolist()


def test_after_early_stopping_the_rounds_to_the_best_count(tmp_path: Path) -> None:
    booster, path = _trained(), tmp_path / "model.ubj"
    booster.set_attr(best_iteration="0")
    booster.save_model(path)

    answers = tried_engine("xgboost", path, told_signature("xgboost", path, tmp_path)).predict(_columns())

    rows = np.column_stack([*_columns().values()])
    assert np.array_equal(answers["value"], booster.inplace_predict(rows, iteration_range=(0, 1)))


@pytest.mark.parametrize("parameters", [{"booster": "dart"}, {"booster": "gblinear"}, {"gamma": 20}])
def test_other_boosters_and_pruned_trees_answer_too(parameters: dict[str, Any], tmp_path: Path) -> None:
    pixels = np.random.default_rng(3).normal(size=(50, 4)).astype(np.float32)
    matrix, path = xgboost.DMatrix(pixels, label=pixels[:, 0]), tmp_path / "model.ubj"
    trained = xgboost.train({"nthread": 1, **parameters}, matrix, 2)
    trained.save_model(path)

    answers = tried_engine("xgboost", path, told_signature("xgboost", path, tmp_path)).predict({"x": pixels})

    assert np.allclose(answers["value"], trained.predict(matrix))


@pytest.mark.parametrize(
    ("inputs", "outputs", "detail"),
    [
        ("x:FP32:-1x3", "value:FP32:-1", "3 columns"),
        ("city:FP32:-1 height:FP32:-1", "value:FP32:-1", "named city, age"),
        ("city:BYTES:-1 age:FP32:-1", "value:FP32:-1", "takes numbers"),
        ("city:FP32:-1 age:FP32:-1", "value:FP32:-1 mood:FP32:-1", "value"),
    ],
)
def test_a_signature_that_does_not_fit_is_refused_with_the_one_that_does(
    tmp_path: Path, inputs: str, outputs: str, detail: str
) -> None:
    path, signature = tmp_path / "model.ubj", signature_of(inputs, outputs)
    _trained().save_model(path)

    with path.open("rb") as file:
        told = check_xgboost(file)
    assert told is not None
    difference = told.difference_from(signature)
    assert difference is not None
    assert detail in difference.detail
    with pytest.raises(SignatureMismatchError, match="--input city:FP32:-1 --input age:FP32:-1 --output value:FP32:-1"):
        load_engine("xgboost", path, signature)


def _tree(document: dict[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = _forest(document)["trees"][0]
    return tree


def _forest(document: dict[str, Any]) -> dict[str, Any]:
    forest: dict[str, Any] = document["learner"]["gradient_booster"]["model"]
    return forest


HARMS: dict[str, Callable[[dict[str, Any]], object]] = {
    "a node that is its own ancestor": lambda it: _tree(it)["left_children"].__setitem__(1, 1),
    "the root as a child": lambda it: _tree(it)["left_children"].__setitem__(1, 0),
    "a child beyond the nodes": lambda it: _tree(it)["right_children"].__setitem__(0, 999),
    "a parent that is none": lambda it: _tree(it)["parents"].__setitem__(1, 2**30),
    "a single child": lambda it: _tree(it)["right_children"].__setitem__(0, -1),
    "a column beyond the model's": lambda it: _tree(it)["split_indices"].__setitem__(0, 7),
    "too few thresholds": lambda it: _tree(it)["split_conditions"].pop(),
    "a category that takes all memory": lambda it: _tree(it)["categories"].__setitem__(0, 2**31 - 2),
    "categories beyond the list": lambda it: _tree(it)["categories_sizes"].__setitem__(0, 99),
    "a categorical split without categories": lambda it: _tree(it)["categories_nodes"].pop(),
    "a tree of a group that is none": lambda it: _forest(it)["tree_info"].__setitem__(0, 5),
    "a tree twice": lambda it: _tree(it).update(id=1),
    "a false number of trees": lambda it: _forest(it)["gbtree_model_param"].update(num_trees="9"),
    "rounds beyond the trees": lambda it: _forest(it)["iteration_indptr"].__setitem__(-1, 50),
    "a value of a category that is none": lambda it: _forest(it)["cats"]["sorted_idx"].__setitem__(0, 99),
    "a best round that there is not": lambda it: it["learner"]["attributes"].update(best_iteration="99"),
    "another number of columns": lambda it: it["learner"]["learner_model_param"].update(num_feature="1"),
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_file_that_leads_out_of_its_own_arrays_is_refused(tmp_path: Path, harm: str) -> None:
    path = tmp_path / "model.json"
    _trained().save_model(path)
    document = json.loads(path.read_bytes())
    HARMS[harm](document)
    path.write_text(json.dumps(document, separators=(",", ":")), encoding="utf-8")

    with pytest.raises(CannotLoadError):
        load_engine("xgboost", path, signature_of("x:FP32:-1x2", "value:FP32:-1"))


def test_both_forms_of_a_model_are_read_alike(tmp_path: Path) -> None:
    for form in ("ubj", "json"):
        _trained().save_model(tmp_path / f"model.{form}")

    assert read_document((tmp_path / "model.ubj").read_bytes()).described() == (
        read_document((tmp_path / "model.json").read_bytes()).described()
    )


def test_the_agents_check_refuses_a_harmful_file_before_it_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    _trained().save_model(path)
    document = json.loads(path.read_bytes())
    HARMS["a node that is its own ancestor"](document)
    path.write_text(json.dumps(document), encoding="utf-8")

    with pytest.raises(CannotLoadError, match="not a tree"):
        check_artifact("xgboost", path)
