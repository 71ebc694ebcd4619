import json
import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events.registry import Tensor
from serving.engines.base import DTYPES, Array
from serving.runtime.errors import InferenceFailedError, InvalidRequestError
from serving.runtime.tensors import InputTensor, read_tensor, write_tensor

EDGES: dict[str, list[Any]] = {
    "BOOL": [True, False],
    "UINT8": [0, 255],
    "UINT16": [0, 2**16 - 1],
    "UINT32": [0, 2**32 - 1],
    "UINT64": [0, 2**64 - 1],
    "INT8": [-128, 127],
    "INT16": [-(2**15), 2**15 - 1],
    "INT32": [-(2**31), 2**31 - 1],
    "INT64": [-(2**63), 2**63 - 1],
    "FP16": [-65504.0, 0.5],
    "BF16": [-1.5, 2.0**100],
    "FP32": [-1.5, 3.0],
    "FP64": [-1e300, 3.0],
    "BYTES": ["", "fünf"],
}


def _read(
    data: object, *, datatype: str = "FP32", shape: tuple[int, ...], expected: tuple[int, ...] | None = None
) -> Array:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    sent = InputTensor(name="x", datatype=datatype, shape=shape, data=msgspec.Raw(raw))
    return read_tensor(sent, _tensor(datatype, expected or shape))


def _tensor(datatype: str, shape: tuple[int, ...]) -> Tensor:
    return msgspec.convert({"name": "x", "datatype": datatype, "shape": shape}, Tensor)


def test_every_data_type_is_known_here() -> None:
    assert EDGES.keys() == DTYPES.keys()


@pytest.mark.parametrize("datatype", EDGES)
def test_the_edges_of_every_data_type_survive_a_round_trip(datatype: str) -> None:
    array = _read(EDGES[datatype], datatype=datatype, shape=(2,))

    assert array.dtype == np.dtype(DTYPES[datatype])
    assert write_tensor(_tensor(datatype, (-1,)), array).data == EDGES[datatype]


@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        ("BOOL", 1),
        ("BOOL", "true"),
        ("UINT8", -1),
        ("UINT8", 256),
        ("UINT64", 2**64),
        ("INT8", 128),
        ("INT32", 1.5),
        ("INT64", True),
        ("INT64", 2**63),
        ("INT64", None),
        ("FP16", 1e6),
        ("FP32", 1e39),
        ("FP32", "1.0"),
        ("FP32", None),
        ("FP64", True),
        ("BYTES", 5),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_the_tensor_named(datatype: str, value: object) -> None:
    with pytest.raises(InvalidRequestError, match=r"input tensor 'x'"):
        _read([value], datatype=datatype, shape=(1,))


@pytest.mark.parametrize(
    "data", [b"[NaN]", b"[Infinity]", b"[1e999]", b"[-1e999]", b"[1,", b"5", b'{"a":1}', b"", b"["]
)
def test_data_that_json_does_not_know_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequestError, match=r"input tensor 'x'"):
        _read(data, datatype="FP64", shape=(1,))


def test_text_that_is_no_utf_8_is_the_callers_fault() -> None:
    with pytest.raises(InvalidRequestError, match=r"input tensor 'x'"):
        _read(b'["\xff"]', datatype="BYTES", shape=(1,))


def test_nested_and_flattened_data_are_the_same_tensor() -> None:
    nested = _read([[1, 2, 3], [4, 5, 6]], shape=(2, 3), expected=(-1, 3))

    assert np.array_equal(nested, _read([1, 2, 3, 4, 5, 6], shape=(2, 3)))
    assert nested.shape == (2, 3)


@pytest.mark.parametrize(
    ("data", "shape", "expected"),
    [
        ([1, 2, 3], (2, 2), (-1, 2)),
        ([[1, 2], [3]], (2, 2), (-1, 2)),
        ([[1, 2, 3], [4, 5, 6]], (3, 2), (-1, 2)),
        ([1, 2], (1, 2), (-1, 3)),
        ([1, 2], (2,), (-1, 2)),
        ([], (0, 2), (-1, 2)),
        ([1], (-1, 1), (-1, 1)),
        ([1], (10**12, 10**12), (-1, -1)),
    ],
)
def test_a_shape_that_does_not_fit_is_refused(data: object, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    with pytest.raises(InvalidRequestError, match=r"input tensor 'x'"):
        _read(data, shape=shape, expected=expected)


def test_data_nested_a_thousand_deep_is_refused() -> None:
    with pytest.raises(InvalidRequestError):
        _read(b"[" * 1_000 + b"]" * 1_000, shape=(1,))


def test_another_data_type_than_the_signature_s_is_refused() -> None:
    sent = InputTensor(name="x", datatype="FP64", shape=(1,), data=msgspec.Raw(b"[1.0]"))

    with pytest.raises(InvalidRequestError, match="has datatype FP64, but the model takes FP32"):
        read_tensor(sent, _tensor("FP32", (1,)))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_answer_that_is_not_finite_is_an_error_and_no_number(value: float) -> None:
    with pytest.raises(InferenceFailedError, match="'x'"):
        write_tensor(_tensor("FP64", (-1,)), np.array([value]))


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_doubles_survive_a_round_trip_exactly(values: list[float]) -> None:
    array = _read(values, datatype="FP64", shape=(len(values),))

    assert write_tensor(_tensor("FP64", (-1,)), array).data == values
