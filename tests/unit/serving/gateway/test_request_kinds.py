import pytest

from serving.gateway.request_kinds import request_kind


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("POST", "/v2/models/digits/infer", "prediction"),
        ("POST", "/v2/models/digits/versions/3/infer", "prediction"),
        ("POST", "/v2/models/story/generate_stream", "prediction"),
        ("POST", "/inference.GRPCInferenceService/ModelInfer", "prediction"),
        ("POST", "/v1/chat/completions", "prediction"),
        ("POST", "/v1/responses", "prediction"),
        ("POST", "/v1/embeddings", "prediction"),
        ("GET", "/v2/models/digits/infer", "other"),
        ("GET", "/v2/models/digits/ready", "health"),
        ("GET", "/v2/models/digits/versions/3/ready", "health"),
        ("GET", "/v2/health/live", "health"),
        ("GET", "/health", "health"),
        ("POST", "/inference.GRPCInferenceService/ModelReady", "health"),
        ("GET", "/v2", "metadata"),
        ("GET", "/v2/models/digits", "metadata"),
        ("GET", "/v2/models/digits/stats", "metadata"),
        ("POST", "/v2/models/digits/ready", "other"),
        ("GET", "/v2/foo", "other"),
        ("POST", "/inference.GRPCInferenceService/ModelMetadata", "metadata"),
        ("GET", "/v1/models/digits", "metadata"),
        ("POST", "/v1/messages", "prediction"),
        ("POST", "/v1/messages/count_tokens", "other"),
        ("POST", "/v1/chat/completion", "other"),
        ("POST", "/v1/load_lora_adapter", "other"),
        ("GET", "/v1/responses/r1", "other"),
        ("POST", "/inference.GRPCInferenceService/ModelGuess", "other"),
        ("POST", "/v2/models/digits/infr", "other"),
        ("GET", "/favicon.ico", "other"),
        ("", "", "other"),
    ],
)
def test_what_a_request_asks_for_is_known_by_its_method_and_path(method: str, path: str, kind: str) -> None:
    assert request_kind(method, path) == kind
