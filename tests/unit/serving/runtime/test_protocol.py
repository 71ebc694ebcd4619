"""The messages of gRPC: generated from what is committed, and the same on the wire as those of a client."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor
from tritonclient.grpc import service_pb2 as theirs

from serving.runtime.protocol import open_inference_pb2 as ours

ROOT = Path(__file__).parents[4]
FOLDER = Path("serving/runtime/protocol")
SAME = {
    "ServerLiveResponse": "ServerLiveResponse",
    "ServerReadyResponse": "ServerReadyResponse",
    "ServerMetadataResponse": "ServerMetadataResponse",
    "ModelReadyRequest": "ModelRequest",
    "ModelReadyResponse": "ModelReadyResponse",
    "ModelMetadataRequest": "ModelRequest",
    "ModelMetadataResponse": "ModelMetadataResponse",
    "ModelInferRequest": "ModelInferRequest",
    "ModelInferResponse": "ModelInferResponse",
    "ModelStatisticsRequest": "ModelRequest",
    "ModelStatisticsResponse": "ModelStatisticsResponse",
    "RepositoryIndexRequest": "RepositoryIndexRequest",
    "RepositoryIndexResponse": "RepositoryIndexResponse",
    "RepositoryModelLoadRequest": "RepositoryModelRequest",
    "RepositoryModelUnloadRequest": "RepositoryModelRequest",
}


def test_the_committed_messages_are_those_of_the_definition(tmp_path: Path) -> None:
    subprocess.run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT}"),
            *(f"--python_out={tmp_path}", f"--pyi_out={tmp_path}", str(ROOT / FOLDER / "open_inference.proto")),
        ],
        check=True,
        timeout=60,
    )

    for name in ("open_inference_pb2.py", "open_inference_pb2.pyi"):
        assert (tmp_path / FOLDER / name).read_text() == (ROOT / FOLDER / name).read_text(), name


@pytest.mark.parametrize("name", SAME)
def test_each_field_has_the_number_and_type_that_clients_give_it(name: str) -> None:
    their_shape = _shape(theirs.DESCRIPTOR.message_types_by_name[name])
    our_shape = _shape(ours.DESCRIPTOR.message_types_by_name[SAME[name]])

    assert our_shape
    assert our_shape.items() <= their_shape.items()


def _shape(message: Descriptor, path: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in message.fields:
        where = f"{path}{field.name}"
        found[where] = (field.number, field.type, field.label)
        if field.message_type is not None:
            found |= _shape(field.message_type, f"{where}.")
    return found
