"""ONNX models that answer what they are asked: one in BF16, the other in every other data type of the protocol."""

from functools import cache
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

from schemas.events.endpoints import VersionReference
from schemas.events.registry import Artifact, Signature, Tensor
from serving.runtime.manifest import ARTIFACT_NAME, Manifest, write_manifest

TYPES: dict[str, tuple[int, list[Any]]] = {
    "BOOL": (TensorProto.BOOL, [True, False]),
    "UINT8": (TensorProto.UINT8, [0, 2**8 - 1]),
    "UINT16": (TensorProto.UINT16, [0, 2**16 - 1]),
    "UINT32": (TensorProto.UINT32, [0, 2**32 - 1]),
    "UINT64": (TensorProto.UINT64, [0, 2**64 - 1]),
    "INT8": (TensorProto.INT8, [-(2**7), 2**7 - 1]),
    "INT16": (TensorProto.INT16, [-(2**15), 2**15 - 1]),
    "INT32": (TensorProto.INT32, [-(2**31), 2**31 - 1]),
    "INT64": (TensorProto.INT64, [-(2**63), 2**63 - 1]),
    "FP16": (TensorProto.FLOAT16, [-1.5, 2.0]),
    "FP32": (TensorProto.FLOAT, [-1.5, 2.0]),
    "FP64": (TensorProto.DOUBLE, [-1.5, 1e300]),
    "BYTES": (TensorProto.STRING, ["", "é€😀"]),
}
"""The data type of ONNX, and two values to ask for."""
BF16_TYPES: dict[str, tuple[int, list[Any]]] = {
    "BF16": (TensorProto.BFLOAT16, [-1.5, 2.0**100]),
    "FP32": TYPES["FP32"],
}
MODELS = {"echo": TYPES, "bf16": BF16_TYPES}


def signature(model: str) -> Signature:
    def tensors(prefix: str) -> tuple[Tensor, ...]:
        return tuple(Tensor(name=f"{prefix}_{name}", datatype=name, shape=(-1, 1)) for name in MODELS[model])  # type: ignore[arg-type]

    return Signature(inputs=tensors("in"), outputs=tensors("out"))


@cache
def content(model: str) -> bytes:
    types = MODELS[model]
    nodes = [helper.make_node("Identity", [f"in_{name}"], [f"out_{name}"]) for name in types]
    inputs = [helper.make_tensor_value_info(f"in_{name}", kind, [None, 1]) for name, (kind, _) in types.items()]
    outputs = [helper.make_tensor_value_info(f"out_{name}", kind, [None, 1]) for name, (kind, _) in types.items()]
    graph = helper.make_graph(nodes, "echo", inputs, outputs)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(proto)
    return bytes(proto.SerializeToString())


def write_echo(directory: Path, *, model: str = "echo") -> None:
    """Lay the model as an agent would."""
    directory.mkdir(parents=True)
    (directory / ARTIFACT_NAME).write_bytes(content(model))
    manifest = Manifest(
        workspace="default",
        endpoint_id="endpoint-2",
        endpoint=model,
        deployment_id="deployment-2",
        version=VersionReference(version_id="version-2", model_name=model, number=1),
        artifact=Artifact(digest=f"sha256:{'0' * 64}", size_bytes=len(content(model)), format="onnx"),
        signature=signature(model),
    )
    write_manifest(directory, manifest)
