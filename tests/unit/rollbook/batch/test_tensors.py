"""Columns become tensors; what cannot is told apart, row by row."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollbook.batch.errors import BadInput
from rollbook.batch.tensors import as_column, columns_for, prepare
from rollbook.inference.tensors import TensorSpec

PIXELS = TensorSpec("pixels", "FP32", (-1, 3))
AGE = TensorSpec("age", "INT8", (-1, 1))
NAME = TensorSpec("name", "BYTES", (-1,))


def prepared(
    table: pa.Table, *specs: TensorSpec, **chosen: tuple[str, ...]
) -> tuple[dict[str, list[object]], dict[int, str]]:
    columns = columns_for(specs, table.schema, chosen=chosen, kept=())
    found = prepare(table, columns)
    return {name: values.tolist() for name, values in found.tensors.items()}, found.refused


def test_a_tensor_takes_the_column_of_its_name_or_all_that_there_are() -> None:
    whole = pa.table({"pixels": [[1.0, 2.0, 3.0]]})
    apart = pa.table({"a": [1.0], "b": [2.0], "c": [3]})

    assert prepared(whole, PIXELS) == prepared(apart, PIXELS) == ({"pixels": [[1.0, 2.0, 3.0]]}, {})


def test_chosen_columns_come_in_the_order_in_which_they_are_named() -> None:
    table = pa.table({"a": [1.0], "b": [2.0], "c": [3.0], "other": ["x"]})

    assert prepared(table, PIXELS, pixels=("c", "a", "b")) == ({"pixels": [[3.0, 1.0, 2.0]]}, {})


@pytest.mark.parametrize(
    ("table", "chosen", "said"),
    [
        (pa.table({"a": [1.0], "b": [2.0]}), {}, "2 columns were found"),
        (pa.table({"a": [1.0]}), {"pixels": ("b",)}, "no column 'b'"),
        (pa.table({"a": [1.0]}), {"colour": ("a",)}, "no input 'colour'"),
    ],
)
def test_columns_that_fit_no_tensor_are_refused_before_anything_is_sent(
    table: pa.Table, chosen: dict[str, tuple[str, ...]], said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        prepared(table, PIXELS, **chosen)


def test_two_tensors_each_need_a_column_of_their_name() -> None:
    with pytest.raises(BadInput, match="'age' has 1 values per row, but 0 columns"):
        prepared(pa.table({"pixels": [[1.0, 2.0, 3.0]]}), PIXELS, AGE)


def test_a_tensor_whose_rows_vary_in_width_is_refused() -> None:
    with pytest.raises(BadInput, match="row by row"):
        prepared(pa.table({"x": [1.0]}), TensorSpec("x", "FP32", (-1, -1)))


def test_rows_that_no_tensor_can_hold_say_why_and_the_others_stay() -> None:
    rows = [[1.0, 2.0, 3.0], None, [1.0, 2.0], [1.0, None, 3.0], [1.0, float("nan"), 3.0], [4.0, 5.0, 6.0]]
    tensors, refused = prepared(pa.table({"pixels": pa.array(rows, pa.list_(pa.float64()))}), PIXELS)

    assert tensors == {"pixels": [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]}
    assert refused == {
        1: "column 'pixels' is missing",
        2: "column 'pixels' has 2 values where the input 'pixels' takes 3",
        3: "column 'pixels' has a value that is missing, which the signature of the input 'pixels' does not allow",
        4: "column 'pixels' is not finite",
    }


@pytest.mark.parametrize("kind", [pa.float64(), pa.float32(), pa.int32(), pa.decimal128(5, 1)])
def test_a_null_is_nan_where_the_signature_allows_missing_values(kind: pa.DataType) -> None:
    spec = TensorSpec("age", "FP32", (-1,), allows_missing=True)

    tensors, refused = prepared(pa.table({"age": pa.array([1, None, 3], kind)}), spec)

    assert (str(tensors["age"]), refused) == ("[1.0, nan, 3.0]", {})


def test_a_value_of_a_row_may_be_missing_and_the_whole_row_not() -> None:
    spec = TensorSpec("pixels", "FP64", (-1, 3), allows_missing=True)
    rows = [[1.0, None, 3.0], None, [float("nan"), 2.0, 3.0], [1.0, 2.0, float("inf")], [1.0, 2.0]]
    apart = pa.table({"a": [1.0, None], "b": [None, 2], "c": pa.array([None, 3], pa.int8())})

    tensors, refused = prepared(pa.table({"pixels": pa.array(rows, pa.list_(pa.float64()))}), spec)

    assert str(tensors["pixels"]) == "[[1.0, nan, 3.0], [nan, 2.0, 3.0]]"
    assert refused == {
        1: "column 'pixels' is missing",
        3: "column 'pixels' is not finite",
        4: "column 'pixels' has 2 values where the input 'pixels' takes 3",
    }
    assert str(prepared(apart, spec)) == "({'pixels': [[1.0, nan, nan], [nan, 2.0, 3.0]]}, {})"


def test_missing_values_that_are_not_allowed_say_which_input_and_the_others_stay() -> None:
    table = pa.table({"age": pa.array([7, None], pa.int8())})

    assert prepared(table, AGE) == (
        {"age": [[7]]},
        {1: "column 'age' is missing, which the signature of the input 'age' does not allow"},
    )


def test_a_number_that_does_not_fit_its_type_is_not_bent() -> None:
    tensors, refused = prepared(pa.table({"age": [7, 300, -1]}), AGE)

    assert tensors == {"age": [[7], [-1]]}
    assert list(refused) == [1]
    assert "does not fit INT8" in refused[1]


def test_text_becomes_bytes_and_anything_else_is_refused() -> None:
    assert prepared(pa.table({"name": ["é", "", None]}), NAME) == (
        {"name": ["é".encode(), b""]},
        {2: "column 'name' is missing, which the signature of the input 'name' does not allow"},
    )
    assert prepared(pa.table({"name": [1]}), NAME)[1] == {0: "column 'name' is neither text nor bytes but int"}


@given(st.lists(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=3, max_size=3)))
def test_every_good_row_arrives_as_it_is_however_it_is_stored(rows: list[list[float]]) -> None:
    together = pa.table({"pixels": pa.array(rows, pa.list_(pa.float32()))})
    fixed = pa.table({"pixels": pa.array(rows, pa.list_(pa.float32(), 3))})
    apart = pa.table({name: pa.array([row[at] for row in rows], pa.float32()) for at, name in enumerate("abc")})

    assert [prepared(table, PIXELS) for table in (together, fixed, apart)] == [({"pixels": rows}, {})] * 3


def test_outputs_become_columns_of_numbers_lists_and_text() -> None:
    assert as_column(np.array([1.5, 2.5])).to_pylist() == [1.5, 2.5]
    assert as_column(np.array([[1, 2], [3, 4]])).to_pylist() == [[1, 2], [3, 4]]
    assert as_column(np.array([b"seven", b"\xff"], object)).to_pylist() == ["seven", "\\xff"]
