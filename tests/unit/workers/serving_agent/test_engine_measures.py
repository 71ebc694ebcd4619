from workers.serving_agent.engine_measures import engine_measures

RUNTIME = """\
# TYPE rollbook_inference_requests counter
rollbook_inference_requests_total{model="a",status="200"} 7
rollbook_inference_requests_total{model="b",status="200"} 3
rollbook_inference_requests_total{model="a",status="503"} 2
# TYPE rollbook_inference_in_flight gauge
rollbook_inference_in_flight{model="a"} 1
rollbook_inference_in_flight{model="b"} 4
# EOF
"""
VLLM = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="m"} 5.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{engine="0",model_name="m"} 120.0
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{engine="0",model_name="m"} 480.0
# TYPE vllm:request_success_total counter
vllm:request_success_total{engine="0",finished_reason="stop",model_name="m"} 2.0
vllm:request_success_total{engine="0",finished_reason="length",model_name="m"} 1.0
"""


def test_the_models_of_our_runtime_are_added_up_and_refusals_stand_apart() -> None:
    measures = engine_measures(RUNTIME, "application/openmetrics-text; version=1.0.0")

    assert measures == {"requests_total": 10.0, "refused_total": 2.0, "in_flight": 5.0}


def test_vllm_tells_its_queue_its_cache_and_its_tokens() -> None:
    assert engine_measures(VLLM, "text/plain; version=0.0.4") == {
        "in_flight": 3.0,
        "queue_depth": 5.0,
        "kv_cache_fraction": 0.25,
        "prompt_tokens_total": 120.0,
        "generated_tokens_total": 480.0,
        "requests_total": 3.0,
    }


def test_what_an_engine_does_not_offer_is_not_there() -> None:
    assert engine_measures("# TYPE other gauge\nother 1\n", "text/plain") == {}
