"""The protocol's metadata about the server and its models, as plain values for both REST and gRPC."""

from importlib.metadata import version
from typing import Any

from serving.capture.predicted import Predicted, predicted_of
from serving.runtime.model_host import Prediction
from serving.runtime.repository import ServedModel
from serving.runtime.statistics import Total

EXTENSIONS = ("binary_tensor_data", "model_repository", "statistics")
_NONE = Total()


def server_metadata() -> dict[str, Any]:
    """Describe the server and its extensions of the protocol."""
    return {"name": "rollbook", "version": version("rollbook-server"), "extensions": list(EXTENSIONS)}


def model_metadata(model: ServedModel) -> dict[str, Any]:
    """Describe a model's inputs and outputs."""
    signature = model.manifest.signature
    return {
        "name": model.name,
        "versions": [model.version],
        "platform": f"rollbook_{model.manifest.artifact.format}",
        "inputs": [_tensor(tensor.name, tensor.datatype, tensor.shape) for tensor in signature.inputs],
        "outputs": [_tensor(tensor.name, tensor.datatype, tensor.shape) for tensor in signature.outputs],
    }


def model_metadata_over_rest(model: ServedModel) -> dict[str, Any]:
    """Also say which inputs may have missing values, and what classes are called; gRPC has no fields for that."""
    described = model_metadata(model)
    signature = model.manifest.signature
    for tensor, description in zip(signature.inputs, described["inputs"], strict=True):
        if tensor.allows_missing:
            description["allows_missing"] = True
    for tensor, description in zip(signature.outputs, described["outputs"], strict=True):
        if tensor.classes:
            description["classes"] = list(tensor.classes)
    return described


def model_statistics(model: ServedModel) -> dict[str, Any]:
    """Report what a model has done since it was loaded; reading and writing tensors is not timed separately."""
    seen = model.host.statistics
    return {
        "name": model.name,
        "version": model.version,
        "last_inference": seen.last_at_ms,
        "inference_count": seen.rows,
        "execution_count": seen.calls,
        "inference_stats": {
            "success": _duration(seen.success),
            "fail": _duration(seen.failure),
            "queue": _duration(seen.queue),
            "compute_input": _duration(_NONE),
            "compute_infer": _duration(seen.engine),
            "compute_output": _duration(_NONE),
        },
        "batch_stats": [
            {
                "batch_size": rows,
                "compute_input": _duration(_NONE),
                "compute_infer": _duration(total),
                "compute_output": _duration(_NONE),
            }
            for rows, total in sorted(seen.calls_by_rows.items())
        ],
        "memory_usage": [{"type": "CPU", "id": 0, "byte_size": model.memory_bytes}],
    }


def predicted_value(model: ServedModel, prediction: Prediction) -> Predicted:
    """Return what feedback is compared with: of the first output, what it says of the first row."""
    output = model.manifest.signature.outputs[0]
    # A model may return no value at all, whatever its signature promises.
    first = prediction.outputs[output.name].ravel()[: max(1, len(output.classes))].tolist()
    return predicted_of(first, datatype=output.datatype, classes=output.classes)


def _tensor(name: str, datatype: str, shape: tuple[int, ...]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": list(shape)}


def _duration(total: Total) -> dict[str, int]:
    return {"count": total.count, "ns": total.ns}
