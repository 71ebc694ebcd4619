"""What a request asks for, by its method and path: only predictions are evidence about a version. Pure."""

from typing import Literal, TypeAlias

RequestKind: TypeAlias = Literal["prediction", "metadata", "health", "other"]

_OIP_GRPC = "/inference.GRPCInferenceService/"
_OF_GRPC: dict[str, RequestKind] = {
    "ModelInfer": "prediction",
    "ServerLive": "health",
    "ServerReady": "health",
    "ModelReady": "health",
    "ServerMetadata": "metadata",
    "ModelMetadata": "metadata",
    "ModelStatistics": "metadata",
}
_OF_OIP_VERB: dict[str, RequestKind] = {
    "infer": "prediction",
    "generate": "prediction",
    "generate_stream": "prediction",
    "ready": "health",
    "stats": "metadata",
    "config": "metadata",
}
_HEALTH_PATHS = frozenset({"/health", "/ping", "/v2/health/live", "/v2/health/ready"})
# The calls of OpenAI's API, and of vLLM beside it, that the model computes.
_PREDICTING = frozenset(
    {"completions", "chat/completions", "responses", "messages", "embeddings", "score", "rerank", "classify", "pooling"}
    | {"audio/transcriptions", "audio/translations", "audio/speech", "images/generations"}
)


def request_kind(method: str, path: str) -> RequestKind:
    """Return what a request asks for; `path` is without its query. What no protocol of ours has is `other`."""
    if path in _HEALTH_PATHS:
        return "health"
    if path.startswith(_OIP_GRPC):
        return _OF_GRPC.get(path.removeprefix(_OIP_GRPC), "other")
    return _of_rest(method, path)


def _of_rest(method: str, path: str) -> RequestKind:
    match path.strip("/").split("/"):
        case ["v1", "models", *_] if method == "GET":
            return "metadata"
        case ["v1", *rest] if method == "POST" and "/".join(rest) in _PREDICTING:
            return "prediction"
        case ["v2"] | ["v2", "models", _] | ["v2", "models", _, "versions", _] if method == "GET":
            return "metadata"
        case ["v2", "models", _, verb] | ["v2", "models", _, "versions", _, verb]:
            kind = _OF_OIP_VERB.get(verb, "other")
            return kind if (method == "POST") is (kind == "prediction") else "other"
        case _:
            return "other"
