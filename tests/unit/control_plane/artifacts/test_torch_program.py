"""What an exported program takes and gives is read from its document, and a signature that it contradicts is told."""

from typing import Any

import msgspec
import pytest

from control_plane.artifacts.torch_program import TorchProgram, read_program
from tests.support.sklearn_models import signature_of

FREE = {"as_expr": {"expr_str": "Symbol('s52', positive=True, integer=True)", "hint": {"as_int": 2}}}
FP32, INT64 = 7, 5


def value(dtype: int, *sizes: int) -> dict[str, Any]:
    return {"dtype": dtype, "sizes": [FREE if size < 0 else {"as_int": size} for size in sizes], "device": {}}


def port(side: str, name: str) -> dict[str, Any]:
    return {side: {"arg": {"as_tensor": {"name": name}}}}


def document(out_spec: str) -> dict[str, Any]:
    return {
        "graph": {
            "tensor_values": {
                "weight": value(FP32, 3),
                "pixels": value(FP32, -1, 3),
                "add": value(FP32, -1, 3),
                "argmax": value(INT64, -1),
            }
        },
        "signature": {
            "input_specs": [{"parameter": {"arg": {"name": "weight"}}}, port("user_input", "pixels")],
            "output_specs": [port("user_output", "add"), port("user_output", "argmax")],
        },
        "module_call_graph": [{"fqn": "", "signature": {"in_spec": "", "out_spec": out_spec}}],
    }


MAPPING = '[1, {"type": "builtins.dict", "context": "[\\"shares\\", \\"label\\"]", "children_spec": []}]'
SEVERAL = '[1, {"type": "builtins.tuple", "context": "null", "children_spec": []}]'


def read(out_spec: str) -> TorchProgram:
    program = read_program(msgspec.json.encode(document(out_spec)))
    assert program is not None
    return program


def test_a_mapping_names_the_outputs() -> None:
    program = read(MAPPING)

    expected = signature_of("pixels:FP32:-1x3", "shares:FP32:-1x3 label:INT64:-1")
    assert (program.inputs, program.outputs) == (expected.inputs, expected.outputs)


def test_outputs_without_names_are_numbered_and_known_by_their_order() -> None:
    program = read(SEVERAL)

    assert [output.name for output in program.outputs] == ["output_0", "output_1"]
    assert program.difference_from(signature_of("x:FP32:-1x3", "s:FP32:-1x3 l:INT64:-1")) is None


@pytest.mark.parametrize(
    ("inputs", "outputs", "field"),
    [
        ("x:FP32:-1x3 y:FP32:-1x3", "label:INT64:-1", "signature.inputs"),
        ("x:FP64:-1x3", "label:INT64:-1", "signature.inputs[0].datatype"),
        ("x:FP32:-1x4", "label:INT64:-1", "signature.inputs[0].shape"),
        ("x:FP32:-1x3", "mood:INT64:-1", "signature.outputs[0].name"),
        ("x:FP32:-1x3", "label:INT64:-1 shares:INT64:-1x3", "signature.outputs[1].datatype"),
        ("x:FP32:-1x3", "label:INT64:-1x2", "signature.outputs[0].shape"),
    ],
)
def test_a_signature_that_a_program_contradicts_is_told_with_its_field(inputs: str, outputs: str, field: str) -> None:
    difference = read(MAPPING).difference_from(signature_of(inputs, outputs))

    assert difference is not None
    assert difference.field == field


@pytest.mark.parametrize("content", [b"{}", b"[]", b"\xff", b"{" * 100_000])
def test_a_program_that_is_written_in_another_way_tells_nothing(content: bytes) -> None:
    assert read_program(content) is None
