"""The state of a runtime process as OpenMetrics text, for a scraper."""

import time
from collections.abc import Iterable, Iterator
from itertools import accumulate

import psutil

from infra.background import FAILING_MEANS, FAILURES_MEAN, Background
from serving.runtime.admission import Intake
from serving.runtime.repository import ModelRepository, ServedModel
from serving.runtime.statistics import LATENCY_BOUNDS_S

CONTENT_TYPE = b"application/openmetrics-text; version=1.0.0; charset=utf-8"
_NS = 1e9
_REQUESTS = "rollbook_inference_requests"
_LATENCY = "rollbook_inference_duration_seconds"


def render_metrics(repository: ModelRepository, intake: Intake, background: Background) -> bytes:
    """Write all metrics; a family's samples are kept together, as the format requires."""
    models = tuple(repository)
    lines = [
        *_family(_REQUESTS, "counter", "Inference requests by HTTP status.", _requests(models)),
        *_family("rollbook_inference_rows", "counter", "Rows processed by engines.", _rows(models)),
        *_family(
            "rollbook_engine_calls", "counter", "Calls of engines; one call may serve several requests.", _calls(models)
        ),
        *_family("rollbook_engine_seconds", "counter", "Time that engines were busy.", _engine_seconds(models)),
        *_family(
            "rollbook_queue_seconds", "counter", "Time that answered requests spent waiting.", _queue_seconds(models)
        ),
        *_family(_LATENCY, "histogram", "From a request's arrival in the queue to its answer.", _latencies(models)),
        *_family("rollbook_inference_in_flight", "gauge", "Requests in progress.", _in_flight(models)),
        *_family("rollbook_inference_queued", "gauge", "Requests waiting for the engine.", _queued(models)),
        *_family("rollbook_model_memory_bytes", "gauge", "Measured memory of loaded models.", _memory(models)),
        *_family("rollbook_intake_bytes", "gauge", "Bytes of requests in progress.", [("", "", intake.held_bytes)]),
        *_background(background),
        *_process(),
        "# EOF",
    ]
    return "\n".join((*lines, "")).encode()


def _family(name: str, kind: str, meaning: str, samples: Iterable[tuple[str, str, float]]) -> Iterator[str]:
    yield f"# TYPE {name} {kind}"
    yield f"# HELP {name} {meaning}"
    for suffix, labels, value in samples:
        yield f"{name}{suffix}{{{labels}}} {value}" if labels else f"{name}{suffix} {value}"


def _labels(model: ServedModel) -> str:
    deployment = model.manifest.deployment_id
    values = {"model": model.name, "version": model.manifest.version_name, "deployment": deployment}
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in values.items())


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _requests(models: Iterable[ServedModel]) -> Iterator[tuple[str, str, float]]:
    for model in models:
        seen = model.host.statistics
        yield "_total", f'{_labels(model)},status="200"', seen.success.count
        for status, count in sorted(seen.refused.items()):
            yield "_total", f'{_labels(model)},status="{status}"', count


def _rows(models: Iterable[ServedModel]) -> Iterator[tuple[str, str, float]]:
    return (("_total", _labels(model), model.host.statistics.rows) for model in models)


def _calls(models: Iterable[ServedModel]) -> Iterator[tuple[str, str, float]]:
    return (("_total", _labels(model), model.host.statistics.calls) for model in models)


def _engine_seconds(models: Iterable[ServedModel]) -> Iterator[tuple[str, str, float]]:
    for model in models:
        worked = sum(total.ns for total in model.host.statistics.calls_by_rows.values())
        yield "_total", _labels(model), worked / _NS


def _queue_seconds(models: Iterable[ServedModel]) -> Iterator[tuple[str, str, float]]:
    return (("_total", _labels(model), model.host.statistics.queue.ns / _NS) for model in models)


def _latencies(models: Iterable[ServedModel]) -> Iterator[tuple[str, str, float]]:
    for model in models:
        seen, labels = model.host.statistics, _labels(model)
        bounds = (*map(str, LATENCY_BOUNDS_S), "+Inf")
        for bound, count in zip(bounds, accumulate(seen.latencies), strict=True):
            yield "_bucket", f'{labels},le="{bound}"', count
        yield "_count", labels, seen.success.count
        yield "_sum", labels, seen.success.ns / _NS


def _in_flight(models: Iterable[ServedModel]) -> Iterator[tuple[str, str, float]]:
    return (("", _labels(model), model.host.in_flight) for model in models)


def _queued(models: Iterable[ServedModel]) -> Iterator[tuple[str, str, float]]:
    return (("", _labels(model), model.host.queued) for model in models)


def _memory(models: Iterable[ServedModel]) -> Iterator[tuple[str, str, float]]:
    return (("", _labels(model), model.memory_bytes) for model in models)


def _background(background: Background) -> Iterator[str]:
    failures, failing = background.failures, background.failing
    counted = [("_total", f'work="{name}"', count) for name, count in failures.items()]
    yield from _family("rollbook_background_failures", "counter", FAILURES_MEAN, counted)
    now = [("", f'work="{name}"', float(name in failing)) for name in failures]
    yield from _family("rollbook_background_failing", "gauge", FAILING_MEANS, now)


def _process() -> Iterator[str]:
    process = psutil.Process()
    resident = process.memory_info().rss
    yield from _family("process_resident_memory_bytes", "gauge", "Resident memory.", [("", "", resident)])
    worked = time.process_time()
    yield from _family("process_cpu_seconds", "counter", "Processor time used.", [("_total", "", worked)])
    started = process.create_time()
    yield from _family("process_start_time_seconds", "gauge", "Start time of the process.", [("", "", started)])
