"""What people hand over becomes the tensors that a model takes, exactly or not at all."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from rollbook import RollbookError
from rollbook.inference.inputs import tensors_of
from rollbook.inference.tensors import TensorSpec

PIXELS = TensorSpec("pixels", "FP32", (-1, 3))
AGE = TensorSpec("age", "INT8", (-1,))
CITY = TensorSpec("city", "BYTES", (-1,))


def as_lists(inputs: Any, *specs: TensorSpec) -> dict[str, Any]:  # noqa: ANN401  what people hand over
    return {name: values.tolist() for name, values in tensors_of(inputs, specs).items()}


@pytest.mark.parametrize(
    "inputs",
    [
        [[1, 2, 3]],
        [1, 2, 3],
        np.array([[1.0, 2.0, 3.0]]),
        {"pixels": [[1, 2, 3]]},
        pd.DataFrame({"a": [1], "b": [2], "c": [3]}),
    ],
    ids=["lists", "one row", "array", "mapping", "frame"],
)
def test_a_model_with_one_input_takes_it_as_it_is(inputs: Any) -> None:  # noqa: ANN401
    assert as_lists(inputs, PIXELS) == {"pixels": [[1.0, 2.0, 3.0]]}


def test_the_columns_of_a_frame_are_the_inputs_by_their_names() -> None:
    frame = pd.DataFrame({"city": ["Bern", "Zürich"], "age": [7, 8]})

    assert as_lists(frame, AGE, CITY) == {"age": [7, 8], "city": [b"Bern", "Zürich".encode()]}


def test_bytes_keep_their_zeros() -> None:
    assert as_lists([b"ab\x00"], CITY) == {"city": [b"ab\x00"]}


def test_a_column_may_be_a_row_of_one_value() -> None:
    frame = pd.DataFrame({"height": [1.5, 2.5]})

    assert as_lists(frame, TensorSpec("height", "FP32", (-1, 1))) == {"height": [[1.5], [2.5]]}


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"a": [True], "b": [0.1], "c": [2]}),
        pd.DataFrame({"a": pd.array([1.0], "Float64"), "b": pd.array([0.1], "Float64"), "c": [2.0]}),
        pd.DataFrame({"a": [1], "b": [0.1], "c": [2]}, dtype=object),
    ],
    ids=["mixed", "nullable", "objects"],
)
def test_a_frame_of_objects_holds_numbers_all_the_same(frame: pd.DataFrame) -> None:
    (row,) = as_lists(frame, PIXELS)["pixels"]

    assert row == pytest.approx([1.0, 0.1, 2.0])


def test_a_value_that_pandas_misses_is_nan() -> None:
    frame = pd.DataFrame({"a": pd.array([None], "Float64"), "b": [0.5], "c": [2.0]})

    (pixels,) = tensors_of(frame, [PIXELS]).values()

    assert np.isnan(pixels[0, 0])


@pytest.mark.parametrize(
    ("inputs", "specs", "said"),
    [
        ([[1, 2]], [PIXELS], r"'pixels' has the shape \[1, 2\]; the model takes \[-1, 3\]"),
        ([[1, 2, 3], [4]], [PIXELS], "'pixels' is not an array"),
        ([300], [AGE], "'age' has values that INT8 does not hold"),
        ([1.5], [AGE], "'age' has values that INT8 does not hold"),
        (["old"], [AGE], "'age' takes INT8"),
        ([1e300, 0, 0], [PIXELS], "'pixels' has values that FP32 does not hold"),
        ([7], [CITY], "'city' takes text or bytes, not int"),
        (["a", 1], [CITY], "'city' takes text or bytes, not int"),
        ({"age": [1]}, [AGE, CITY], r"'city' is missing; the model takes age \(INT8 \[-1\]\), city"),
        ({"age": [1], "town": ["Bern"]}, [AGE], "no input 'town'"),
        ([1], [AGE, CITY], "2 inputs; give each by its name"),
        ([1], [TensorSpec("x", "BF16", (-1,))], "BF16, which numpy does not have"),
    ],
)
def test_what_does_not_fit_is_named(inputs: Any, specs: list[TensorSpec], said: str) -> None:  # noqa: ANN401
    with pytest.raises(RollbookError, match=said):
        tensors_of(inputs, specs)


def test_missing_values_stay_missing() -> None:
    (pixels,) = tensors_of([[1, np.nan, 3]], [PIXELS]).values()

    assert np.isnan(pixels[0, 1])
