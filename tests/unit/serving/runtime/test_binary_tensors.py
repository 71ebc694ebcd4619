import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events.registry import Tensor
from serving.engines.base import DTYPES, from_bf16_bits, rounded_to_bf16, to_bf16_bits
from serving.runtime.binary_tensors import read_binary, write_binary
from serving.runtime.errors import InferenceFailedError, InvalidRequestError
from serving.runtime.tensors import InputTensor

EDGES: dict[str, list[Any]] = {
    "BOOL": [True, False],
    "UINT8": [0, 255],
    "UINT16": [0, 65_535],
    "UINT32": [0, 2**32 - 1],
    "UINT64": [0, 2**64 - 1],
    "INT8": [-128, 127],
    "INT16": [-32_768, 32_767],
    "INT32": [-(2**31), 2**31 - 1],
    "INT64": [-(2**63), 2**63 - 1],
    "FP16": [-65_504.0, 6e-8],
    "BF16": [-1.0, 2.0**-126],
    "FP32": [-3.4e38, 1e-45],
    "FP64": [-1.7e308, 5e-324],
    "BYTES": ["", "é€😀"],
}


def spec(datatype: str, *shape: int) -> Tensor:
    return Tensor(name="x", datatype=datatype, shape=shape)  # type: ignore[arg-type]


def sent(datatype: str, *shape: int) -> InputTensor:
    return InputTensor(name="x", datatype=datatype, shape=shape)


def test_every_data_type_has_edges_here() -> None:
    assert EDGES.keys() == DTYPES.keys()


@pytest.mark.parametrize("datatype", EDGES)
def test_edges_come_back_as_they_were(datatype: str) -> None:
    array = np.array(EDGES[datatype], dtype=DTYPES[datatype])

    raw = write_binary(spec(datatype, -1), array)

    back = read_binary(sent(datatype, 2), spec(datatype, -1), memoryview(raw))
    assert (back.dtype, back.tolist()) == (array.dtype, array.tolist())


@pytest.mark.parametrize("datatype", [name for name in EDGES if name != "BYTES"])
@pytest.mark.parametrize("change", [-1, 1])
def test_a_wrong_number_of_bytes_is_told_with_the_tensor(datatype: str, change: int) -> None:
    raw = write_binary(spec(datatype, -1), np.zeros(2, dtype=DTYPES[datatype])) + b"\0"

    with pytest.raises(InvalidRequestError, match=r"'x' has .* bytes"):
        read_binary(sent(datatype, 2), spec(datatype, -1), memoryview(raw[: len(raw) - 1 + change]))


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "fewer elements"),
        (b"\1\0\0", "fewer elements"),
        (b"\2\0\0\0a", "cut short"),
        (b"\xff\xff\xff\xffa", "cut short"),
        (b"\1\0\0\0ab", "more bytes"),
        (b"\1\0\0\0\xff", "UTF-8"),
    ],
)
def test_texts_that_are_put_wrongly_are_told_with_the_tensor(raw: bytes, said: str) -> None:
    with pytest.raises(InvalidRequestError, match=f"'x' .*{said}"):
        read_binary(sent("BYTES", 1), spec("BYTES", -1), memoryview(raw))


@pytest.mark.parametrize(("datatype", "form"), [("FP16", "<e"), ("FP32", "<f"), ("FP64", "<d")])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_is_refused_and_not_answered(datatype: str, form: str, value: float) -> None:
    with pytest.raises(InvalidRequestError, match="'x' has a value that is not finite"):
        read_binary(sent(datatype, 1), spec(datatype, -1), memoryview(struct.pack(form, value)))
    with pytest.raises(InferenceFailedError, match="'x'"):
        write_binary(spec(datatype, -1), np.array([value], dtype=DTYPES[datatype]))


def test_a_bool_is_0_or_1() -> None:
    with pytest.raises(InvalidRequestError, match="'x' has a byte that is neither"):
        read_binary(sent("BOOL", 2), spec("BOOL", -1), memoryview(b"\1\2"))


@given(st.integers(0, 0xFFFF))
def test_every_bf16_is_its_own_nearest(bits: int) -> None:
    value = from_bf16_bits(np.array([bits], dtype=np.uint16))

    back = to_bf16_bits(value)

    assert np.isnan(value[0]) or back[0] == bits


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_rounding_to_bf16_goes_to_a_neighbour_that_is_nearest(value: float) -> None:
    rounded = float(rounded_to_bf16(np.array([value], dtype=np.float32))[0])

    bits = int(to_bf16_bits(np.array([rounded], dtype=np.float32))[0])
    near = [bits + step for step in (-1, 1) if 0 <= bits + step <= 0xFFFF]
    others = from_bf16_bits(np.array(near, dtype=np.uint16))
    if np.isfinite(rounded):
        distances = [abs(float(other) - value) for other in others if np.isfinite(other)]
        assert all(abs(rounded - value) <= distance for distance in distances)


@pytest.mark.parametrize(
    ("value", "bits"),
    [(1.0, 0x3F80), (1.00390625, 0x3F80), (1.01171875, 0x3F82), (float("nan"), 0x7FC0), (3.4e38, 0x7F80)],
)
def test_bf16_rounds_ties_to_even(value: float, bits: int) -> None:
    assert to_bf16_bits(np.array([value], dtype=np.float32))[0] == bits
