"""What a skops file says of its model without being loaded; what it contradicts is told at registration."""

import io
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
import scipy
import skops.io
from lightgbm import LGBMClassifier
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer, OneHotEncoder, StandardScaler
from sklearn.utils import all_estimators
from skops.io import _trusted_types
from xgboost import XGBClassifier

from control_plane.artifacts.errors import UnservableModelError
from control_plane.artifacts.skops_format import check_skops
from control_plane.artifacts.skops_model import SkopsModel, read_model
from schemas.events.registry import Signature
from schemas.skops_functions import UNIVERSAL_FUNCTIONS, is_unknown
from schemas.tensor_notation import options_of
from tests.support.sklearn_models import served_engine, signature_of

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


def test_categories_that_boosting_encodes_itself_are_inputs_of_their_types(tmp_path: Path) -> None:
    people = PEOPLE.loc[[0, 1, 2, 3] * 5, ["age", "city"]].astype({"city": "category"})
    people["plan"] = pd.Categorical([1, 2] * 10)
    model = HistGradientBoostingRegressor(max_iter=3, min_samples_leaf=1, categorical_features="from_dtype")
    model.fit(people, np.arange(20.0))

    found = read(model)

    signature = Signature(inputs=found.inputs, outputs=found.outputs)
    assert (
        options_of(signature) == "--input age:FP64:-1 --input city:BYTES:-1 --input plan:FP64:-1 --output value:FP64:-1"
    )
    engine = served_engine(model, signature, tmp_path)
    asked = {"age": people["age"], "city": people["city"].astype(str), "plan": people["plan"].astype(float)}
    answered = engine.predict({name: column.to_numpy() for name, column in asked.items()})["value"]
    assert np.array_equal(answered, model.predict(people))
    assert len(set(answered)) > 1


def test_boosting_without_categories_takes_numbers() -> None:
    model = HistGradientBoostingRegressor(max_iter=1, min_samples_leaf=1, categorical_features=[1])

    assert told(model.fit(ROWS.round(0) ** 2, CLASSES)) == "--input x:FP64:-1x3 --output value:FP64:-1"


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


def _refused(model: Any) -> str:  # noqa: ANN401 - scikit-learn has no types
    with pytest.raises(UnservableModelError) as refused:
        read(model)
    return f"{refused.value}; {refused.value.remedy}"


@pytest.mark.parametrize(
    ("model", "call"),
    [
        (XGBClassifier(n_estimators=1), 'save the model with model.save_model("model.ubj")'),
        (LGBMClassifier(n_estimators=1, verbose=-1), 'booster.save_model("model.txt")'),
    ],
)
def test_a_boosted_model_in_a_skops_file_is_told_its_library_s_own_saving_call(model: Any, call: str) -> None:  # noqa: ANN401
    alone = _refused(model.fit(ROWS, CLASSES))
    in_a_pipeline = _refused(make_pipeline(StandardScaler(), model).fit(ROWS, CLASSES))

    assert call in alone
    assert "pipeline" not in alone
    assert call in in_a_pipeline
    assert "export the pipeline to ONNX" in in_a_pipeline


def test_a_model_of_catboost_in_a_skops_file_is_told_its_saving_call() -> None:
    schema = {
        "__class__": "CatBoostClassifier",
        "__module__": "catboost.core",
        "__loader__": "ObjectNode",
        "content": {},
    }

    with pytest.raises(UnservableModelError, match=r"catboost\.core\.CatBoostClassifier") as refused:
        read_model(msgspec.json.encode(schema), {})

    assert 'model.save_model("model.cbm")' in str(refused.value.remedy)


@pytest.mark.parametrize("function", [np.cumsum, np.linalg.norm, scipy.stats.zscore])
def test_a_function_that_is_not_known_to_be_safe_is_refused_with_those_that_are(function: Any) -> None:  # noqa: ANN401
    said = _refused(make_pipeline(FunctionTransformer(function), LinearRegression().fit(ROWS, CLASSES)))

    assert f"it calls {function.__module__}.{function.__name__}, which are not on the list of safe functions" in said
    assert "numpy.log1p" in said
    assert "numpy.clip" in said


@pytest.mark.parametrize("function", [np.log1p, np.clip, np.nan_to_num, scipy.special.expit])
def test_a_function_that_is_known_to_be_safe_passes(function: Any) -> None:  # noqa: ANN401
    model = make_pipeline(FunctionTransformer(function), LinearRegression().fit(ROWS, CLASSES))

    assert read(model).estimator == "LinearRegression"


def test_the_registry_knows_the_functions_of_numpy_that_skops_trusts() -> None:
    assert frozenset(_trusted_types.NUMPY_UFUNC_TYPE_NAMES) == UNIVERSAL_FUNCTIONS
    assert not any(map(is_unknown, _trusted_types.SCIPY_UFUNC_TYPE_NAMES))


@pytest.mark.parametrize(
    ("model", "part"),
    [
        (LogisticRegression(), "LogisticRegression"),
        (StandardScaler(), "StandardScaler"),
        (GridSearchCV(LogisticRegression(), {}), "GridSearchCV"),
        (make_pipeline(StandardScaler(), LogisticRegression()), "StandardScaler"),
        (make_pipeline(StandardScaler().fit(ROWS), LogisticRegression()), "LogisticRegression"),
        (make_pipeline(TfidfVectorizer(), FrozenEstimator(LogisticRegression())), "LogisticRegression"),
    ],
)
def test_a_model_that_is_not_fitted_is_refused(model: Any, part: str) -> None:  # noqa: ANN401 - scikit-learn has no types
    assert f"{part} is not fitted; fit the model before it is saved" in _refused(model)


@pytest.mark.parametrize(
    "model",
    [
        FunctionTransformer(np.log1p),
        Normalizer(),
        HashingVectorizer(),
        CountVectorizer(vocabulary=["a"]),
        make_pipeline(Normalizer(), LinearRegression().fit(ROWS, CLASSES)),
        make_pipeline(FeatureUnion([("n", Normalizer())]), FrozenEstimator(LinearRegression().fit(ROWS, CLASSES))),
    ],
)
def test_a_model_that_answers_without_being_fitted_passes(model: Any) -> None:  # noqa: ANN401 - no types
    read(model)


def test_every_estimator_that_needs_no_fit_passes_without_one() -> None:
    ready = [model for _, kind in all_estimators() for model in _that_needs_no_fit(kind)]

    assert [read(model) for model in ready]


def test_a_model_that_was_fitted_on_no_columns_is_refused() -> None:
    model = DummyClassifier().fit(np.zeros((4, 0)), [0, 1, 0, 1])
    model.n_features_in_ = 0

    assert "it was fitted on rows of 0 columns; fit it on one column or more" in _refused(model)


def _that_needs_no_fit(kind: Any) -> list[Any]:  # noqa: ANN401 - scikit-learn has no types
    """Return an estimator as it is by default; none of those that are made of others or on their way out."""
    try:
        model = kind()
        return [] if model.__sklearn_tags__().requires_fit else [model]
    except (TypeError, AttributeError, FutureWarning):
        return []
