"""What comes in by name and goes out row by row, whatever form a scikit-learn model gives and takes it in."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from serving.engines.base import Array, Engine, Tensors
from serving.engines.errors import SignatureMismatchError
from serving.runtime.batching import joined, split_rows
from tests.support.sklearn_models import served_engine, signature_of

RANDOM = np.random.default_rng(7)
ROWS = RANDOM.normal(size=(30, 4))
THREE_TARGETS = (ROWS[:, :3] > 0).astype(int)
PEOPLE = pd.DataFrame({"age": [20.0, 30.0, 40.0, 50.0], "city": ["Rome", "Oslo", "Rome", "Bern"]})
BOUGHT = [0, 1, 0, 1]


def alone_and_joined(engine: Engine, requests: list[Tensors]) -> tuple[list[Tensors], list[Tensors] | None]:
    alone = [engine.predict(request) for request in requests]
    return alone, split_rows(engine.predict(joined(requests)), [1] * len(requests))


@pytest.mark.parametrize(
    "model",
    [MultiOutputClassifier(LogisticRegression()), RandomForestClassifier(3, random_state=0)],
    ids=["MultiOutput", "RandomForest"],
)
def test_several_targets_are_answered_row_by_row_alone_and_joined(model: Any, tmp_path: Path) -> None:  # noqa: ANN401
    model.fit(ROWS, THREE_TARGETS)
    promised = signature_of("x:FP64:-1x4", "label:INT64:-1x3 probabilities:FP64:-1x3x2")
    engine = served_engine(model, promised, tmp_path)

    alone, together = alone_and_joined(engine, [{"x": ROWS[index : index + 1]} for index in range(3)])

    assert together is not None
    for index in range(3):
        expected = [target[index].tolist() for target in model.predict_proba(ROWS[:3])]
        for answer in (alone[index], together[index]):
            assert answer["probabilities"].shape == (1, 3, 2)
            assert np.allclose(answer["probabilities"][0], expected)
            assert answer["label"].tolist() == model.predict(ROWS[index : index + 1]).tolist()


def test_a_target_with_fewer_classes_gives_no_probability_to_those_of_others(tmp_path: Path) -> None:
    targets = np.column_stack([THREE_TARGETS[:, 0], np.arange(30) % 3])
    model = RandomForestClassifier(3, random_state=0).fit(ROWS, targets)
    promised = signature_of("x:FP64:-1x4", "label:INT64:-1x2 probabilities:FP64:-1x2x3")

    answer = served_engine(model, promised, tmp_path).predict({"x": ROWS})["probabilities"]

    assert (answer[:, 0, 2] == 0).all()
    assert np.allclose(answer.sum(axis=2), 1)


def test_sparse_answers_become_dense(tmp_path: Path) -> None:
    from scipy.sparse import csr_matrix  # noqa: PLC0415 - only this test

    model = OneVsRestClassifier(LogisticRegression()).fit(ROWS, csr_matrix(THREE_TARGETS))

    engine = served_engine(model, signature_of("x:FP64:-1x4", "label:INT64:-1x3"), tmp_path)

    assert engine.predict({"x": ROWS})["label"].tolist() == model.predict(ROWS).toarray().tolist()


def frames_model() -> Any:  # noqa: ANN401 - scikit-learn has no types
    by_name = ColumnTransformer(
        [("age", StandardScaler(), ["age"]), ("city", OneHotEncoder(), make_column_selector("city"))]
    )
    return make_pipeline(by_name, LogisticRegression()).fit(PEOPLE, BOUGHT)


@pytest.mark.parametrize("shape", ["-1", "-1x1"])
def test_columns_are_selected_by_the_names_of_the_inputs(shape: str, tmp_path: Path) -> None:
    promised = signature_of(f"city:BYTES:{shape} age:FP64:{shape}", "label:INT64:-1 probabilities:FP64:-1x2")
    engine = served_engine(frames_model(), promised, tmp_path)
    one = (4, 1) if shape == "-1x1" else (4,)

    answer = engine.predict(
        {"age": PEOPLE["age"].to_numpy().reshape(one), "city": PEOPLE["city"].to_numpy(object).reshape(one)}
    )

    assert np.allclose(answer["probabilities"], frames_model().predict_proba(PEOPLE))


def test_inputs_are_put_in_the_order_of_the_names_that_the_model_was_fitted_on(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [10.0, 20.0, 40.0]})
    model = LinearRegression().fit(frame, [1.0, 2.0, 3.0])

    engine = served_engine(model, signature_of("b:FP64:-1 a:FP64:-1", "value:FP64:-1"), tmp_path)

    answer = engine.predict({"a": frame["a"].to_numpy(), "b": frame["b"].to_numpy()})
    assert np.allclose(answer["value"], model.predict(frame))


def test_inputs_of_other_names_than_the_model_was_fitted_on_are_refused(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [10.0, 20.0, 40.0]})
    model = LinearRegression().fit(frame, [1.0, 2.0, 3.0])

    with pytest.raises(SignatureMismatchError, match="columns named a, b") as refused:
        served_engine(model, signature_of("c:FP32:-1 b:FP32:-1", "value:FP64:-1"), tmp_path)

    assert "--input a:FP64:-1 --input b:FP32:-1" in str(refused.value)


def test_a_matrix_has_the_columns_of_the_model_in_their_order(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [10.0, 20.0, 40.0]})
    model = LinearRegression().fit(frame, [1.0, 2.0, 3.0])

    engine = served_engine(model, signature_of("x:FP64:-1x2", "value:FP64:-1"), tmp_path)

    assert np.allclose(engine.predict({"x": frame.to_numpy()})["value"], model.predict(frame))


def test_texts_are_given_to_a_vectorizer_one_a_row(tmp_path: Path) -> None:
    texts: Array = np.array(["good day", "bad day", "good night", "bad night"], object)
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, ["+", "-", "+", "-"])

    engine = served_engine(model, signature_of("text:BYTES:-1", "label:BYTES:-1"), tmp_path)

    assert engine.predict({"text": texts})["label"].tolist() == ["+", "-", "+", "-"]


def test_pictures_are_laid_out_in_one_row_each(tmp_path: Path) -> None:
    model = LinearRegression().fit(ROWS, ROWS[:, 0])

    engine = served_engine(model, signature_of("x:FP64:-1x2x2", "value:FP64:-1"), tmp_path)

    assert np.allclose(engine.predict({"x": ROWS.reshape(-1, 2, 2)})["value"], ROWS[:, 0])
