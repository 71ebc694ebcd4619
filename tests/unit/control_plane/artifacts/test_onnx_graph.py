"""What a graph takes and gives is read from its file, and a signature that it contradicts is told at registration."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx

from control_plane.artifacts.errors import NotAModelError, UnservableModelError
from control_plane.artifacts.onnx_format import MAX_IR_VERSION, MAX_OPERATOR_SET_VERSIONS, check_onnx
from control_plane.artifacts.onnx_graph import Graph
from tests.support.digits import digits, model_bytes, trained
from tests.support.echo_model import content, signature
from tests.support.sklearn_models import signature_of


def model(
    given: list[Any], answered: list[Any], *, ir_version: int = 9, operators: dict[str, int] | None = None
) -> bytes:
    weights = numpy_helper.from_array(np.ones(1, np.float32), "weights")
    proto = helper.make_model(
        helper.make_graph(
            [helper.make_node("Mul", ["x", "weights"], ["y"])],
            "graph",
            # As exporters wrote it until IR version 4.
            [
                helper.make_tensor_value_info("x", TensorProto.FLOAT, given),
                helper.make_tensor_value_info("weights", TensorProto.FLOAT, [1]),
            ],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, answered)],
            [weights],
        ),
        opset_imports=[helper.make_opsetid(name, number) for name, number in (operators or {"": 18}).items()],
        ir_version=ir_version,
    )
    return bytes(proto.SerializeToString())


def read(file: bytes) -> Graph:
    return check_onnx(io.BytesIO(file))


@pytest.mark.parametrize("name", ["echo", "bf16"])
def test_every_data_type_is_read_as_the_graph_has_it(name: str) -> None:
    graph = read(content(name))

    assert (graph.inputs, graph.outputs) == (signature(name).inputs, signature(name).outputs)


def test_weights_are_no_inputs_and_sizes_with_a_name_are_free() -> None:
    graph = read(model(["rows", 64], ["rows", None]))

    assert graph.inputs == signature_of("x:FP32:-1x64", "y:FP32:-1").inputs
    assert graph.outputs == signature_of("x:FP32:-1", "y:FP32:-1x-1").outputs


def test_the_model_of_the_demo_tells_its_signature() -> None:
    graph = read(model_bytes("onnx"))

    assert graph.inputs == signature_of("pixels:FP32:-1x64", "y:FP32:-1").inputs
    assert [output.name for output in graph.outputs] == ["label", "probabilities"]


@pytest.mark.parametrize(
    ("inputs", "outputs", "field"),
    [
        ("x:FP32:-1x64", "y:FP32:1x64", "signature.inputs[0].shape"),
        ("x:FP32:1x32", "y:FP32:1x64", "signature.inputs[0].shape"),
        ("x:FP32:64", "y:FP32:1x64", "signature.inputs[0].shape"),
        ("x:FP64:1x64", "y:FP32:1x64", "signature.inputs[0].datatype"),
        ("x:FP32:1x64", "y:INT64:1x64", "signature.outputs[0].datatype"),
        ("x:FP32:1x64", "y:FP32:1x10", "signature.outputs[0].shape"),
        ("x:FP32:1x64", "y:FP32:1x64 z:FP32:1", "signature.outputs[1].name"),
        ("x:FP32:1x64 z:FP32:1", "y:FP32:1x64", "signature.inputs[1].name"),
    ],
)
def test_a_signature_that_a_graph_contradicts_is_told_with_its_field(inputs: str, outputs: str, field: str) -> None:
    difference = read(model([1, 64], [1, 64])).difference_from(signature_of(inputs, outputs))

    assert difference is not None
    assert difference.field == field


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ("x:FP32:1x64", "y:FP32:1x64"),
        ("pixels:FP32:1x64", "score:FP32:1x-1"),
        ("x:FP32:1x64", "y:FP32:1x64x1"),
    ],
)
def test_a_signature_that_a_graph_can_keep_passes(inputs: str, outputs: str) -> None:
    assert read(model([1, 64], [1, 64])).difference_from(signature_of(inputs, outputs)) is None


def test_an_input_that_the_signature_lacks_is_told() -> None:
    graph = read(content("bf16"))

    difference = graph.difference_from(signature_of("in_BF16:BF16:-1x1", "out_BF16:BF16:-1x1"))

    assert difference is not None
    assert difference.detail == "the graph also takes in_FP32"


def zip_map() -> bytes:
    return bytes(to_onnx(trained(), digits()[0][:1], target_opset=18).SerializeToString())


def weights_elsewhere() -> bytes:
    proto = onnx.load_from_string(model([None, 1], [None, 1]))
    weights = proto.graph.initializer[0]
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="model.data")
    weights.ClearField("raw_data")
    return bytes(proto.SerializeToString())


def complex_numbers() -> bytes:
    proto = onnx.load_from_string(model([None, 1], [None, 1]))
    proto.graph.output[0].type.tensor_type.elem_type = TensorProto.COMPLEX64
    return bytes(proto.SerializeToString())


@pytest.mark.parametrize(
    ("make", "reason", "remedy"),
    [
        (zip_map, "is a sequence, map or optional value", "zipmap"),
        (weights_elsewhere, "'weights' are stored in another file", "save_as_external_data=False"),
        (complex_numbers, "data type 14", "common types"),
        (lambda: model([1], [1], ir_version=MAX_IR_VERSION + 1), "IR version is 15", "older version"),
        (lambda: model([1], [1], operators={"": 29}), "version 29 of the operators ai.onnx", "older version"),
        (lambda: model([1], [1], operators={"ai.onnx.ml": 6}), "version 6 of the operators ai.onnx.ml", "older"),
    ],
)
def test_a_graph_that_no_engine_runs_is_refused_with_the_remedy(
    make: Callable[[], bytes], reason: str, remedy: str
) -> None:
    with pytest.raises(UnservableModelError) as refused:
        read(make())

    assert reason in refused.value.detail
    assert remedy in str(refused.value.remedy)


def test_the_newest_versions_are_those_of_the_runtime_that_is_installed() -> None:
    def runs(file: bytes) -> bool:
        try:
            onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        # Its errors have no common base.
        except Exception:  # noqa: BLE001
            return False
        return True

    assert runs(model([1], [1], ir_version=MAX_IR_VERSION))
    assert not runs(model([1], [1], ir_version=MAX_IR_VERSION + 1))
    for domain, newest in MAX_OPERATOR_SET_VERSIONS.items():
        core = {} if domain in {"", "ai.onnx"} else {"": 18}
        assert runs(model([1], [1], operators=core | {domain: newest})), domain
        assert not runs(model([1], [1], operators=core | {domain: newest + 1})), domain


@pytest.mark.parametrize("at", range(20, 400, 3))
def test_a_damaged_graph_is_read_or_refused_but_never_a_fault(at: int) -> None:
    sound = bytearray(content("echo"))
    sound[at] ^= 0x5A

    try:
        read(bytes(sound))
    except (NotAModelError, UnservableModelError):
        return
