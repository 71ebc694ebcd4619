"""Reads an engine's /metrics: the name of each sample identifies the kind of engine. Pure."""

from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_open_metrics
from prometheus_client.parser import text_string_to_metric_families as read_prometheus_text

OPEN_METRICS = "application/openmetrics-text"

_OF_SAMPLE = {
    # Our own runtime.
    "rollbook_inference_in_flight": "in_flight",
    "rollbook_inference_queued": "queue_depth",
    "rollbook_model_memory_bytes": "model_memory_bytes",
    "rollbook_inference_rows_total": "rows_total",
    "rollbook_engine_calls_total": "calls_total",
    "rollbook_engine_seconds_total": "engine_seconds_total",
    "rollbook_queue_seconds_total": "queue_seconds_total",
    # vLLM.
    "vllm:num_requests_running": "in_flight",
    "vllm:num_requests_waiting": "queue_depth",
    "vllm:kv_cache_usage_perc": "kv_cache_fraction",
    "vllm:prompt_tokens_total": "prompt_tokens_total",
    "vllm:generation_tokens_total": "generated_tokens_total",
    "vllm:request_success_total": "requests_total",
    # Triton.
    "nv_inference_pending_request_count": "queue_depth",
    "nv_inference_request_success": "requests_total",
    "nv_inference_request_failure": "refused_total",
    "nv_inference_count": "rows_total",
    "nv_inference_exec_count": "calls_total",
}
_OUR_REQUESTS = "rollbook_inference_requests_total"
_WELL = "200"


def engine_measures(text: str, media_type: str) -> dict[str, float]:
    """Return the measures that the engine offers; those of several models are added up, except for ratios."""
    found: dict[str, float] = {}
    for family in _families(text, media_type):
        for sample in family.samples:
            measure = _measure_of(sample.name, sample.labels)
            if measure == "kv_cache_fraction":
                found[measure] = max(found.get(measure, 0.0), sample.value)
            elif measure is not None:
                found[measure] = found.get(measure, 0.0) + sample.value
    return found


def _families(text: str, media_type: str) -> Iterator[Metric]:
    if media_type.startswith(OPEN_METRICS):
        yield from read_open_metrics(text)  # type: ignore[no-untyped-call]
    else:
        yield from read_prometheus_text(text)


def _measure_of(name: str, labels: dict[str, str]) -> str | None:
    if name == _OUR_REQUESTS:
        return "requests_total" if labels.get("status") == _WELL else "refused_total"
    return _OF_SAMPLE.get(name)
