"""What a skops file tells of its model without being loaded; what it contradicts is told at registration."""

import io
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from control_plane.artifacts.errors import UnservableModelError
from control_plane.artifacts.skops_format import check_skops
from control_plane.artifacts.skops_model import SkopsModel, read_model
from schemas.events.registry import Signature
from schemas.tensor_notation import options_of
from tests.support.sklearn_models import signature_of

ROWS = np.random.default_rng(0).normal(size=(12, 3))
CLASSES = np.arange(12) % 2
PEOPLE = pd.DataFrame({"age": [20.0, 30.0, 40.0, 50.0], "city": ["Rome", "Oslo", "Rome", "Bern"], "job": list("abab")})


def home_made(values: Any) -> Any:  # noqa: ANN401 - any rows
    return values


def read(model: Any) -> SkopsModel:  # noqa: ANN401 - scikit-learn has no types
    return check_skops(io.BytesIO(skops.io.dumps(model)))


def told(model: Any) -> str:  # noqa: ANN401 - scikit-learn has no types
    found = read(model)
    return options_of(Signature(inputs=found.inputs, outputs=found.outputs))


def by_name() -> Pipeline:
    encoded = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder())
    columns = ColumnTransformer(
        [
            ("city", encoded, ["city"]),
            ("age", StandardScaler(), ["age"]),
            ("job", TfidfVectorizer(token_pattern="."), "job"),
        ]
    )
    return make_pipeline(columns, LogisticRegression()).fit(PEOPLE, ["no", "yes", "no", "yes"])


def test_a_classifier_tells_its_columns_labels_and_classes() -> None:
    assert told(LogisticRegression().fit(ROWS, CLASSES)) == (
        "--input x:FP64:-1x3 --output label:INT64:-1 --output probabilities:FP64:-1x2"
    )


def test_columns_that_were_fitted_by_name_are_inputs_of_their_types() -> None:
    assert told(by_name()) == (
        "--input age:FP64:-1 --input city:BYTES:-1 --input job:BYTES:-1 "
        "--output label:BYTES:-1 --output probabilities:FP64:-1x2"
    )


def test_a_search_tells_what_its_best_model_does() -> None:
    search = GridSearchCV(make_pipeline(StandardScaler(), LinearRegression()), {}, cv=2).fit(ROWS, ROWS[:, :2])

    assert told(search) == "--input x:FP64:-1x3 --output value:FP64:-1x2"


def test_several_targets_are_told_with_their_number() -> None:
    forest = RandomForestClassifier(2).fit(ROWS, np.column_stack([CLASSES, CLASSES]))

    assert told(forest) == "--input x:FP64:-1x3 --output label:INT64:-1x2 --output probabilities:FP64:-1x2x2"


def test_a_model_of_texts_takes_texts() -> None:
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(["good", "bad"], [True, False])

    assert told(model) == "--input text:BYTES:-1 --output label:BOOL:-1 --output probabilities:FP64:-1x2"


def test_what_a_transformer_gives_is_not_told() -> None:
    assert told(StandardScaler().fit(ROWS)) == "--input x:FP64:-1x3"


@pytest.mark.parametrize(
    ("model", "inputs", "outputs", "said"),
    [
        (
            LogisticRegression().fit(ROWS, CLASSES),
            "x:FP64:-1x4",
            "label:INT64:-1",
            "4 columns; this LogisticRegression",
        ),
        (LogisticRegression().fit(ROWS, CLASSES + 0.0), "x:FP64:-1x3", "label:INT64:-1", "predicts is FP64 [-1]"),
        (LogisticRegression().fit(ROWS, list("ab" * 6)), "x:FP64:-1x3", "mood:FP32:-1", "predicts is BYTES [-1]"),
        (LinearRegression().fit(ROWS, ROWS[:, :2]), "x:FP64:-1x3", "value:FP64:-1", "predicts is FP64 [-1, 2]"),
        (by_name(), "age:FP64:-1 town:BYTES:-1 job:BYTES:-1", "label:BYTES:-1", "columns named age, city, job"),
    ],
)
def test_a_signature_that_a_file_contradicts_is_told(model: Any, inputs: str, outputs: str, said: str) -> None:  # noqa: ANN401
    difference = read(model).difference_from(signature_of(inputs, outputs))

    assert difference is not None
    assert said in difference.detail


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ("x:FP32:-1x3", "label:FP32:-1"),
        ("a:FP64:-1 b:FP64:-1x2", "label:BYTES:-1 probabilities:FP32:-1x2"),
        ("x:FP64:-1x-1", "decision:FP64:-1"),
    ],
)
def test_a_signature_that_the_model_can_keep_passes(inputs: str, outputs: str) -> None:
    model = read(LogisticRegression().fit(ROWS, CLASSES))

    assert model.difference_from(signature_of(inputs, outputs)) is None


def test_a_schema_that_would_take_too_much_memory_tells_nothing() -> None:
    model = read_model(b" " * 2**25, {})

    assert (model.inputs, model.outputs, model.columns) == ((), (), None)


def test_functions_of_ones_own_are_refused_by_name() -> None:
    with pytest.raises(UnservableModelError, match=r"test_skops_model\.home_made") as refused:
        read(make_pipeline(FunctionTransformer(home_made), LinearRegression()).fit(ROWS, CLASSES))

    assert "export it to ONNX" in str(refused.value.remedy)
