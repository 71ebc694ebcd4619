"""One classifier of handwritten digits in the files that each server loads, and what is asked of it."""

import hashlib
from pathlib import Path

import joblib
import msgspec
import numpy as np
import skops.io
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler

from schemas.events.endpoints import VersionReference
from schemas.events.registry import Artifact, ArtifactFormat, Signature, Tensor
from serving.capture.policy_file import PolicyInForce, write_policy
from serving.runtime.manifest import ARTIFACT_NAME, Manifest, write_manifest
from serving.runtime.protocol import open_inference_pb2 as messages

NAME, INPUT, PIXELS = "digits", "pixels", 64
SIGNATURE = Signature(
    inputs=(Tensor(name=INPUT, datatype="FP32", shape=(-1, PIXELS)),),
    outputs=(Tensor(name="label", datatype="INT64", shape=(-1,)),),
)
_TRAINED_ON, _ASKED = 900, 16


class ModelFiles(msgspec.Struct, frozen=True):
    """The same fitted pipeline, as our runtime takes it and as MLServer does, and an ONNX graph of it for both."""

    skops: Path
    joblib: Path
    onnx: Path


def write_models(folder: Path) -> ModelFiles:
    """Train, and write all files."""
    files = ModelFiles(folder / "digits.skops", folder / "digits.joblib", folder / "digits.onnx")
    images, labels = load_digits(return_X_y=True)
    images = images.astype(np.float32)
    fitted = make_pipeline(MinMaxScaler(), LogisticRegression(max_iter=500)).fit(
        images[:_TRAINED_ON], labels[:_TRAINED_ON]
    )
    skops.io.dump(fitted, files.skops)
    joblib.dump(fitted, files.joblib)
    files.onnx.write_bytes(graph_of(fitted))
    return files


def write_model_directory(root: Path, artifact: Path, artifact_format: ArtifactFormat) -> None:
    """Lay a model directory and a capture policy as the serving agent does."""
    (root / "model").mkdir(parents=True)
    content = artifact.read_bytes()
    (root / "model" / ARTIFACT_NAME).write_bytes(content)
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    manifest = Manifest(
        workspace="default",
        endpoint_id="endpoint-1",
        endpoint=NAME,
        deployment_id="deployment-1",
        version=VersionReference(version_id="version-1", model_name=NAME, number=1),
        artifact=Artifact(digest=digest, size_bytes=len(content), format=artifact_format),
        signature=SIGNATURE,
    )
    write_manifest(root / "model", manifest)
    write_policy(root / "capture.json", PolicyInForce())


def rest_bodies() -> list[bytes]:
    """Return requests of one image each in JSON."""
    return [
        msgspec.json.encode(
            {"inputs": [{"name": INPUT, "datatype": "FP32", "shape": [1, PIXELS], "data": image.tolist()}]}
        )
        for image in _asked()
    ]


def grpc_messages() -> list[bytes]:
    """Return the same requests as messages, their numbers as raw bytes."""
    requests = []
    for image in _asked():
        request = messages.ModelInferRequest(model_name=NAME)
        request.inputs.add(name=INPUT, datatype="FP32", shape=(1, PIXELS))
        request.raw_input_contents.append(image.tobytes())
        requests.append(request.SerializeToString())
    return requests


def _asked() -> NDArray[np.float32]:
    images, _ = load_digits(return_X_y=True)
    asked: NDArray[np.float32] = images[_TRAINED_ON : _TRAINED_ON + _ASKED].astype(np.float32)
    return asked


def graph_of(fitted: Pipeline) -> bytes:
    """Convert a fitted pipeline to ONNX."""
    # Slow to import, and a tool of development.
    from skl2onnx import to_onnx  # noqa: PLC0415
    from skl2onnx.common.data_types import FloatTensorType  # noqa: PLC0415

    graph = to_onnx(
        fitted,
        initial_types=[(INPUT, FloatTensorType([None, PIXELS]))],
        options={"zipmap": False},
        target_opset=18,
    )
    return bytes(graph.SerializeToString())
