"""What a request asks for, by its method and path: only predictions are evidence about a version. Pure."""

from typing import Literal, TypeAlias

RequestKind: TypeAlias = Literal["prediction", "metadata", "health", "other"]

_OIP_GRPC = "/inference.GRPCInferenceService/"
_OF_GRPC: dict[str, RequestKind] = {
    "ModelInfer": "prediction",
    "ModelStreamInfer": "prediction",
    "ServerLive": "health",
    "ServerReady": "health",
    "ModelReady": "health",
}
_OF_OIP_VERB: dict[str, RequestKind] = {
    "infer": "prediction",
    "infer_stream": "prediction",
    "generate": "prediction",
    "generate_stream": "prediction",
    "ready": "health",
}
_HEALTH_PATHS = frozenset({"/health", "/ping", "/v2/health/live", "/v2/health/ready"})
# Calls of OpenAI's API and of vLLM beside it that compute no answer of the model.
_NO_PREDICTIONS = frozenset({"tokenize", "detokenize", "models", "files", "batches"})


def request_kind(method: str, path: str) -> RequestKind:
    """Return what a request asks for; `path` is without its query. What no protocol of ours has is `other`."""
    if path in _HEALTH_PATHS:
        return "health"
    if path.startswith(_OIP_GRPC):
        return _OF_GRPC.get(path.removeprefix(_OIP_GRPC), "metadata")
    match path.strip("/").split("/"):
        case ["v2", "models", _, verb] | ["v2", "models", _, "versions", _, verb] if verb in _OF_OIP_VERB:
            kind = _OF_OIP_VERB[verb]
            return "other" if kind == "prediction" and method != "POST" else kind
        case ["v2", *_]:
            return "metadata" if method == "GET" or path.startswith("/v2/repository/") else "other"
        case ["v1", resource, *_]:
            return "prediction" if method == "POST" and resource not in _NO_PREDICTIONS else "metadata"
        case _:
            return "other"
