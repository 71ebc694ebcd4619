"""A version whose signature does not fit its model fails at load, and is told the signature that would fit."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import skops.io
from onnx import TensorProto, helper
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.preprocessing import OneHotEncoder, PowerTransformer

from schemas.events.registry import GoldenExample, GoldenInput, Signature
from serving.engines.answers import promised_form
from serving.engines.base import load_engine
from serving.engines.errors import PredictionFailedError, SignatureMismatchError, UnansweredInputError
from serving.runtime.trial import try_out
from tests.support.sklearn_models import served_engine, signature_of

ROWS = np.array([[1.0, 2.0], [2.0, 1.0], [3.0, 5.0], [4.0, 0.5]])
TWO_TARGETS = LinearRegression().fit(ROWS, ROWS)
CLASSES = [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("model", "outputs", "fitting"),
    [
        (LogisticRegression().fit(ROWS, np.array(CLASSES, float)), "label:INT64:-1", "label:FP64:-1"),
        (LogisticRegression().fit(ROWS, ["no", "yes", "no", "yes"]), "label:INT64:-1", "label:BYTES:-1"),
        (TWO_TARGETS, "value:FP64:-1", "value:FP64:-1x2"),
        (LogisticRegression().fit(ROWS, CLASSES), "probabilities:FP64:-1x3", "probabilities:FP64:-1x2"),
        (LinearRegression().fit(ROWS, CLASSES), "label:INT64:-1", "label:FP64:-1"),
        (LinearRegression().fit(ROWS, CLASSES), "value:FP64:-1 mood:FP64:-1", "value:FP64:-1"),
    ],
)
def test_an_output_of_another_type_or_shape_is_refused_with_what_would_fit(
    model: Any,  # noqa: ANN401 - scikit-learn has no types
    outputs: str,
    fitting: str,
    tmp_path: Path,
) -> None:
    with pytest.raises(SignatureMismatchError) as refused:
        served_engine(model, signature_of("x:FP64:-1x2", outputs), tmp_path)

    assert str(refused.value).endswith(f"register it with --input x:FP64:-1x2 --output {fitting}")


def test_inputs_of_other_columns_are_refused_with_what_would_fit(tmp_path: Path) -> None:
    with pytest.raises(SignatureMismatchError, match="3 columns; this model takes 2") as refused:
        served_engine(TWO_TARGETS, signature_of("x:FP32:-1x3", "value:FP64:-1x2"), tmp_path)

    assert "--input x:FP32:-1x2 --output value:FP64:-1x2" in str(refused.value)


@pytest.mark.parametrize("name", ["predict", "value", "price"])
def test_an_only_output_has_the_name_that_its_owner_gave_it(name: str, tmp_path: Path) -> None:
    model = LinearRegression().fit(ROWS, ROWS[:, 0])

    engine = served_engine(model, signature_of("x:FP64:-1x2", f"{name}:FP64:-1"), tmp_path)

    assert np.allclose(engine.predict({"x": ROWS})[name], ROWS[:, 0])


def test_a_column_of_values_and_a_list_of_them_are_the_same_answer(tmp_path: Path) -> None:
    column = LinearRegression().fit(ROWS, ROWS[:, :1])

    for shape, answered in (("-1", (4,)), ("-1x1", (4, 1))):
        engine = served_engine(column, signature_of("x:FP64:-1x2", f"value:FP64:{shape}"), tmp_path)
        assert engine.predict({"x": ROWS})["value"].shape == answered


def test_a_model_that_fails_on_every_made_up_row_is_refused_with_the_reason(tmp_path: Path) -> None:
    model = LogisticRegression().fit(ROWS, CLASSES)

    with pytest.raises(UnansweredInputError, match="could not convert string to float"):
        served_engine(model, signature_of("x:BYTES:-1x2", "label:INT64:-1"), tmp_path)


def test_made_up_rows_are_ones_that_the_model_knows(tmp_path: Path) -> None:
    encoder = OneHotEncoder(sparse_output=False).fit([["red", "S"], ["blue", "L"]])

    engine = served_engine(encoder, signature_of("x:BYTES:-1x2", "codes:FP64:-1x4"), tmp_path)

    assert next(engine.samples())["x"].tolist() == [["blue", "L"]]


def golden(value: float) -> GoldenExample:
    tensor = GoldenInput(name="x", datatype="FP64", shape=(1, 2), data=(value, 1.0))
    return GoldenExample(inputs=(tensor,), outputs={})


def test_a_golden_input_is_asked_in_place_of_made_up_rows(tmp_path: Path) -> None:
    model = PowerTransformer(method="box-cox").fit(ROWS)
    path = tmp_path / "artifact"
    skops.io.dump(model, path)
    engine = load_engine("skops", path, signature_of("x:FP64:-1x2", "transformed:FP64:-1x2"))

    try_out(engine, golden(2.0))
    with pytest.raises(UnansweredInputError, match=r"golden input.*strictly positive"):
        try_out(engine, golden(-2.0))


def graph(
    path: Path,
    node: Any,  # noqa: ANN401 - onnx has no types
    given: list[Any],
    answered: list[Any],
    *,
    constants: Sequence[Any] = (),
) -> Path:
    inputs = helper.make_tensor_value_info("x", TensorProto.FLOAT, given)
    outputs = helper.make_tensor_value_info("y", TensorProto.FLOAT, answered)
    proto = helper.make_model(
        helper.make_graph([node], "graph", [inputs], [outputs], list(constants)),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=9,
    )
    onnx.save(proto, path)
    return path


def tried(path: Path, signature: Signature) -> bool:
    return try_out(load_engine("onnx", path, signature))


@pytest.mark.parametrize(("axis", "keeps_rows_apart"), [(1, True), (0, False)])
def test_requests_are_joined_only_where_rows_are_kept_apart(
    tmp_path: Path, axis: int, *, keeps_rows_apart: bool
) -> None:
    for operator, given in (("Softmax", ["x"]), ("CumSum", ["x", "axis"])):
        attributes: dict[str, Any] = {"axis": axis} if operator == "Softmax" else {}
        constants = [] if attributes else [helper.make_tensor("axis", TensorProto.INT64, [], [axis])]
        node = helper.make_node(operator, given, ["y"], **attributes)
        path = graph(tmp_path / operator, node, [None, 3], [None, 3], constants=constants)

        assert tried(path, signature_of("x:FP32:-1x3", "y:FP32:-1x3")) is keeps_rows_apart, operator


def test_a_graph_that_takes_one_row_at_a_time_is_refused_with_what_would_fit(tmp_path: Path) -> None:
    reshaping = helper.make_node("Reshape", ["x", "shape"], ["y"])
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [1, 3])
    path = graph(tmp_path / "model", reshaping, [None, 3], [None, 3], constants=[shape])

    with pytest.raises(SignatureMismatchError, match="answers 1 rows but fails on 3") as refused:
        tried(path, signature_of("x:FP32:-1x3", "y:FP32:-1x3"))
    assert str(refused.value).endswith("register it with --input x:FP32:1x3 --output y:FP32:1x3")
    assert not tried(path, signature_of("x:FP32:1x3", "y:FP32:1x3"))


@pytest.mark.parametrize("coefficient", [np.nan, np.inf])
def test_a_model_whose_answers_are_no_finite_numbers_is_refused(tmp_path: Path, coefficient: float) -> None:
    model = LinearRegression().fit(ROWS, ROWS[:, 0])
    model.intercept_ = coefficient

    with pytest.raises(UnansweredInputError, match="output 'value' has a value that is not finite"):
        served_engine(model, signature_of("x:FP64:-1x2", "value:FP64:-1"), tmp_path)


def test_a_graph_that_answers_fewer_rows_than_it_was_asked_is_refused(tmp_path: Path) -> None:
    summing = helper.make_node("ReduceSum", ["x"], ["y"], keepdims=1)
    path = graph(tmp_path / "model", summing, [None, 2], [None, None])

    with pytest.raises(SignatureMismatchError, match="1 rows for 3"):
        tried(path, signature_of("x:FP32:-1x2", "y:FP32:-1x1"))


def test_a_graph_with_a_fixed_number_of_rows_takes_no_signature_with_any_number(tmp_path: Path) -> None:
    path = graph(tmp_path / "model", helper.make_node("Identity", ["x"], ["y"]), [1, 64], [1, 64])

    with pytest.raises(SignatureMismatchError, match=r"\[-1, 64\]; in the graph it is \[1, 64\]"):
        tried(path, signature_of("x:FP32:-1x64", "y:FP32:-1x64"))
    tried(path, signature_of("pixels:FP32:1x64", "same:FP32:1x64"))


def test_a_graph_that_needs_larger_sizes_than_a_made_up_input_has_is_not_refused(tmp_path: Path) -> None:
    pooling = helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[3, 3])
    path = graph(tmp_path / "model", pooling, [None, 1, None, None], [None, 1, None, None])

    tried(path, signature_of("x:FP32:-1x1x-1x-1", "y:FP32:-1x1x-1x-1"))


def test_an_answer_outside_the_promised_range_fails_rather_than_wrapping_around() -> None:
    promised = signature_of("x:FP64:-1x2", "label:INT8:-1")

    assert promised_form(promised, {"label": np.array([127])})["label"].tolist() == [127]
    with pytest.raises(PredictionFailedError, match="outside the range of INT8"):
        promised_form(promised, {"label": np.array([300])})
