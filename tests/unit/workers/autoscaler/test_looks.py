"""What two readings make of a deployment's load."""

from typing import Any

from workers.autoscaler.engine_load import Counters, read_counters
from workers.autoscaler.gateway_load import Traffic
from workers.autoscaler.looks import Reading, look_at

METRICS = """\
# HELP rollbook_queue_seconds Time that requests waited.
rollbook_queue_seconds_total{model="digits"} 1.5
rollbook_queue_seconds_total{model="other"} 0.5
rollbook_inference_duration_seconds_count{model="digits"} 40
rollbook_inference_duration_seconds_sum{model="digits"} 8.0
# EOF
"""
VLLM = """\
vllm:num_requests_waiting{engine="0",model_name="m"} 3.0
vllm:e2e_request_latency_seconds_count{engine="0"} 10
vllm:e2e_request_latency_seconds_sum{engine="0"} 20
vllm:request_prompt_tokens_sum{engine="0"} 500
vllm:request_prompt_tokens_count{engine="0"} 10
"""


def reading(at_ms: int, **changes: Any) -> Reading:  # noqa: ANN401 - any field
    nothing: dict[str, Any] = {"ready": 1, "traffic": Traffic(), "engines": None}
    return Reading(at_ms=at_ms, **(nothing | changes))


def test_counters_of_several_models_are_added_up() -> None:
    assert read_counters(METRICS) == Counters(answered=40, seconds=8.0, queue_seconds=2.0)


def test_the_queue_of_vllm_is_told_in_requests_and_in_prompt_tokens() -> None:
    counters = read_counters(VLLM)
    sample = look_at(reading(1_000, engines={"a": counters, "b": counters}, asks_engines=True), None)

    assert (counters.waiting, counters.prompt_tokens) == (3.0, 50.0)
    assert (sample.load.queue_depth, sample.load.tokens_waiting) == (6.0, 300.0)


def test_a_first_look_knows_no_rates() -> None:
    sample = look_at(reading(1_000, engines={"a": Counters(answered=9, seconds=9)}, asks_engines=True), None)

    assert (sample.load.latency_ms, sample.load.queue_depth) == (None, None)
    assert sample.is_complete


def test_the_queue_is_the_time_waited_in_a_second_and_the_latency_a_mean() -> None:
    before = reading(1_000, engines={"a": Counters(answered=10, seconds=1, queue_seconds=2)})
    sample = look_at(reading(3_000, engines={"a": Counters(answered=30, seconds=2, queue_seconds=8)}), before)

    assert sample.load.queue_depth == 3.0
    assert sample.load.latency_ms == 50.0


def test_an_instance_that_began_anew_counts_from_nought() -> None:
    before = reading(1_000, engines={"a": Counters(answered=1_000, seconds=100, queue_seconds=50)})
    sample = look_at(reading(2_000, engines={"a": Counters(answered=4, seconds=2, queue_seconds=1)}), before)

    assert (sample.load.queue_depth, sample.load.latency_ms) == (1.0, 500.0)


def test_a_look_is_incomplete_where_a_source_that_is_asked_does_not_answer() -> None:
    assert not look_at(reading(1_000, traffic=None), None).is_complete
    assert not look_at(reading(1_000, asks_engines=True), None).is_complete
    assert look_at(reading(1_000, asks_engines=False), None).is_complete


def test_requests_that_came_and_went_between_two_looks_keep_a_deployment_awake() -> None:
    before = reading(1_000, traffic=Traffic(active=0, total=10))

    assert look_at(reading(2_000, traffic=Traffic(active=0, total=11)), before).is_busy
    assert look_at(reading(2_000, traffic=Traffic(active=1, total=10)), before).is_busy
    assert not look_at(reading(2_000, traffic=Traffic(active=0, total=10)), before).is_busy


def test_a_gateway_that_counts_anew_is_busy_once_it_has_counted_something() -> None:
    before = reading(1_000, traffic=Traffic(active=0, total=10))

    assert look_at(reading(2_000, traffic=Traffic(active=0, total=2)), before).is_busy
    assert not look_at(reading(2_000, traffic=Traffic(active=0, total=0)), before).is_busy


def test_a_gateway_that_does_not_answer_counts_as_busy() -> None:
    assert look_at(reading(1_000, traffic=None), None).is_busy
