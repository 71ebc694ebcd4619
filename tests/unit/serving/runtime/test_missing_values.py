"""A value may be missing only where the signature says so, and is NaN to the model."""

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

from schemas.events.registry import Datatype, Tensor
from serving.engines.errors import SignatureMismatchError
from serving.runtime.binary_tensors import read_binary
from serving.runtime.errors import InvalidRequestError
from serving.runtime.tensors import InputTensor, read_tensor
from tests.support.sklearn_models import served_engine, signature_of

ROWS = np.array([[1.0, 2.0], [2.0, np.nan], [3.0, 5.0], [np.nan, 0.5]] * 3)
VALUES = np.arange(12.0)
ALLOWED = Tensor(name="x", datatype="FP64", shape=(-1, 2), allows_missing=True)
FORBIDDEN = msgspec.structs.replace(ALLOWED, allows_missing=False)


def sent(data: Any) -> InputTensor:  # noqa: ANN401 - any JSON
    return InputTensor(name="x", datatype="FP64", shape=(1, 2), data=msgspec.Raw(json.dumps(data).encode()))


def test_null_is_a_missing_value_where_the_signature_allows_it() -> None:
    assert np.array_equal(read_tensor(sent([[1.5, None]]), ALLOWED), [[1.5, np.nan]], equal_nan=True)
    with pytest.raises(InvalidRequestError, match="'x'"):
        read_tensor(sent([[1.5, None]]), FORBIDDEN)


@pytest.mark.parametrize(("datatype", "is_told"), [("FP64", True), ("INT64", False)])
def test_null_where_it_is_not_allowed_is_told_how_to_allow_it(datatype: Datatype, is_told: bool) -> None:  # noqa: FBT001
    tensor = Tensor(name="hours a week", datatype=datatype, shape=(-1, 2))
    written = InputTensor(name=tensor.name, datatype=datatype, shape=(1, 2), data=msgspec.Raw(b"[1, null]"))

    with pytest.raises(InvalidRequestError) as refused:
        read_tensor(written, tensor)

    how = f"register the input with :missing (--input 'hours a week:{datatype}:-1x2:missing')"
    assert "got `null`" in str(refused.value)
    assert (how in str(refused.value)) == is_told


def test_nan_in_bytes_is_a_missing_value_and_an_infinity_never() -> None:
    raw = memoryview(np.array([1.5, np.nan]).tobytes())
    infinite = memoryview(np.array([1.5, np.inf]).tobytes())

    assert np.array_equal(read_binary(sent([]), ALLOWED, raw), [[1.5, np.nan]], equal_nan=True)
    for expected, content in ((FORBIDDEN, raw), (ALLOWED, infinite)):
        with pytest.raises(InvalidRequestError, match="not finite"):
            read_binary(sent([]), expected, content)


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(SimpleImputer(), LinearRegression()),
        make_pipeline(KNNImputer(), LinearRegression()),
        HistGradientBoostingRegressor(max_iter=2, min_samples_leaf=2),
    ],
    ids=["SimpleImputer", "KNNImputer", "HistGradientBoosting"],
)
def test_models_that_take_missing_values_are_served_with_them(model: Any, tmp_path: Path) -> None:  # noqa: ANN401
    model.fit(ROWS, VALUES)

    engine = served_engine(model, signature_of("x:FP64:-1x2:missing", "value:FP64:-1"), tmp_path)

    assert np.allclose(engine.predict({"x": ROWS})["value"], model.predict(ROWS))


def test_a_model_that_takes_no_missing_values_is_refused_where_they_are_allowed(tmp_path: Path) -> None:
    model = LinearRegression().fit(np.nan_to_num(ROWS), VALUES)

    with pytest.raises(SignatureMismatchError, match="missing values in x, but the model rejects them: ValueError"):
        served_engine(model, signature_of("x:FP64:-1x2:missing", "value:FP64:-1"), tmp_path)
