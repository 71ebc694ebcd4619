"""Models of LightGBM answer as LightGBM itself does, and a file that would lead its compiled code astray is refused."""

import re
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest

from serving.engines.artifact_check import check_artifact
from serving.engines.base import load_engine
from serving.engines.errors import CannotLoadError, SignatureMismatchError
from tests.support.boosted_models import rows_with_categories, told_signature, tried_engine
from tests.support.sklearn_models import signature_of


def _trained(objective: str = "regression", **parameters: Any) -> lightgbm.Booster:  # noqa: ANN401 - of LightGBM
    frame, target = rows_with_categories()
    settings = {"objective": objective, "num_leaves": 4, "min_data_per_group": 2, "cat_smooth": 0, "verbose": -1}
    wanted = target if objective == "regression" else target > 0
    return lightgbm.train({**settings, "num_threads": 1, **parameters}, lightgbm.Dataset(frame, wanted), 2)


def _columns() -> dict[str, Any]:
    frame, _ = rows_with_categories()
    return {"city": frame.city.cat.codes.to_numpy(np.float64), "age": frame.age.to_numpy(np.float64)}


@pytest.mark.parametrize("parameters", [{}, {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}])
def test_categories_are_given_as_their_codes_in_any_order_of_the_inputs(
    tmp_path: Path, parameters: dict[str, Any]
) -> None:
    booster, path = _trained(**parameters), tmp_path / "model.txt"
    booster.save_model(path)
    signature = signature_of("age:FP64:-1 city:FP64:-1:missing", "price:FP64:-1")

    answers = tried_engine("lightgbm", path, signature).predict(_columns())

    assert np.array_equal(answers["price"], booster.predict(rows_with_categories()[0]))


def test_a_binary_classifier_answers_labels_and_both_probabilities(tmp_path: Path) -> None:
    booster, path = _trained("binary"), tmp_path / "model.txt"
    booster.save_model(path)

    told = told_signature("lightgbm", path, tmp_path)
    answers = tried_engine("lightgbm", path, told).predict(_columns())

    assert told == signature_of("city:FP64:-1 age:FP64:-1", "label:INT64:-1 probabilities:FP32:-1x2")
    positive = booster.predict(rows_with_categories()[0])
    assert np.allclose(answers["probabilities"], np.column_stack([1 - positive, positive]))
    assert answers["label"].tolist() == (positive > 0.5).astype(int).tolist()


def test_a_signature_that_does_not_fit_is_refused_with_the_one_that_does(tmp_path: Path) -> None:
    path = tmp_path / "model.txt"
    _trained().save_model(path)

    with pytest.raises(SignatureMismatchError, match="--input city:FP64:-1 --input age:FP64:-1 --output value:FP64:-1"):
        load_engine("lightgbm", path, signature_of("x:FP64:-1x3", "value:FP64:-1"))


HARMS = {
    "a node that is its own ancestor": (r"left_child=\S+", "left_child=0"),
    "a child beyond the nodes": (r"left_child=\S+", "left_child=99"),
    "a leaf beyond the leaves": (r"right_child=\S+", "right_child=-99"),
    "a column beyond the model's": (r"split_feature=\S+", "split_feature=7"),
    "too few thresholds": (r"threshold=\S+ ", "threshold="),
    "a number that is none": (r"leaf_value=\S+", "leaf_value=x"),
    "no leaves": (r"num_leaves=\d+", "num_leaves=0"),
    "categories beyond the list": (r"cat_boundaries=0 \d+", "cat_boundaries=0 99"),
    "categories that are not there": (r"num_cat=[1-9]\d*", "num_cat=0"),
    "linear leaves": (r"is_linear=0", "is_linear=1"),
    "a missing tree": (r"Tree=1", "Tree=5"),
    "another number of classes": (r"num_class=1", "num_class=3"),
    "classes that only the objective has": (r"objective=regression", "objective=multiclass num_class:9"),
    "another number of columns": (r"max_feature_idx=1", "max_feature_idx=0"),
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_file_that_leads_out_of_its_own_arrays_is_refused(tmp_path: Path, harm: str) -> None:
    path = tmp_path / "model.txt"
    whole = _trained().model_to_string()
    harmed = re.sub(*HARMS[harm], whole, count=1)
    path.write_text(harmed, encoding="utf-8")

    assert harmed != whole
    with pytest.raises(CannotLoadError):
        check_artifact("lightgbm", path)
