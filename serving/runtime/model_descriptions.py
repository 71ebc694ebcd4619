"""The protocol's metadata about the server and its models, as plain values for both REST and gRPC."""

from importlib.metadata import version
from typing import Any

from serving.capture.recorder import Predicted
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
    """Also say which inputs may have missing values, if any; gRPC's messages have no field for that."""
    described = model_metadata(model)
    for tensor, description in zip(model.manifest.signature.inputs, described["inputs"], strict=True):
        if tensor.allows_missing:
            description["allows_missing"] = True
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
    """Return the first value of the first output: what feedback is compared with."""
    output = model.manifest.signature.outputs[0]
    first = prediction.outputs[output.name].ravel()[:1].tolist()
    # A model may return no value at all, whatever its signature promises.
    return Predicted(as_text(first[0]), output.datatype) if first else Predicted()


def as_text(value: object) -> str:
    """Write a predicted value the way feedback is written: `true`, `3`, `0.25`, `cat`."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _tensor(name: str, datatype: str, shape: tuple[int, ...]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": list(shape)}


def _duration(total: Total) -> dict[str, int]:
    return {"count": total.count, "ns": total.ns}
