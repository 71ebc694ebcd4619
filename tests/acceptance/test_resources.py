"""What instances, hosts and gateways use, from the agent's look to the command line."""

from collections.abc import Iterator
from typing import Any

import httpx
import jwt
import pytest

from rollbook import Problem
from rollbook.resources import MintedToken, Prediction
from tests.support.digits_service import DigitsService, serve_digits
from tests.support.eventually import eventually
from tests.support.plain_http import NO_AUTHORITIES
from tests.support.stack import RunningStack


@pytest.fixture(scope="module")
def service(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DigitsService]:
    with stack.client() as rollbook:
        yield serve_digits(stack, rollbook, "measured", directory=tmp_path_factory.mktemp("measured"))


def predict(stack: RunningStack, service: DigitsService, times: int) -> None:
    url = f"{stack.gateway_url}/v2/models/{service.name}/infer"
    headers = {"authorization": f"Bearer {service.inference_token()}"}
    body = {"inputs": [{"name": "pixels", "datatype": "FP64", "shape": [1, 64], "data": [0.0] * 64}]}
    for _ in range(times):
        httpx.post(url, json=body, headers=headers, timeout=180, verify=NO_AUTHORITIES).raise_for_status()


def test_the_instances_of_an_endpoint_show_what_they_use_and_do(stack: RunningStack, service: DigitsService) -> None:
    def seen() -> dict[str, Any] | None:
        predict(stack, service, 20)
        items = stack.answer("resources", service.name)
        return next((one for one in items if one["rates"].get("requests_per_s") and one["cpu_percent"]), None)

    found = eventually(seen, "a sample with rates", within_s=180, poll_s=1)
    assert found is not None

    assert found["memory_bytes"] > 20_000_000
    # One caller asks, one request after the other; a sample may meet one of them.
    assert 0 <= found["queue_depth"] <= found["in_flight"] <= 1
    assert found["rows_per_call"] == 1
    assert found["model_memory_bytes"] is not None
    # There is no GPU and no language model here: null, and never zero.
    assert (found["gpu_percent"], found["gpu_memory_bytes"], found["kv_cache_fraction"]) == (None, None, None)


def test_hosts_and_gateways_show_what_they_use(stack: RunningStack) -> None:
    def seen() -> dict[str, Any] | None:
        items = {one["subject"]: one for one in stack.answer("resources")}
        return items if items.keys() >= {"host", "gateway"} else None

    found = eventually(seen, "samples of both", within_s=180, poll_s=1)
    assert found is not None

    assert 0 < found["host"]["memory_bytes"] < found["host"]["memory_limit_bytes"]
    assert found["gateway"]["connections"] is not None
    assert found["gateway"]["memory_bytes"] > 1_000_000


def key_of(token: MintedToken) -> str:
    return str(jwt.get_unverified_header(token.token)["kid"])


def test_a_rotated_key_and_a_revocation_reach_the_running_gateway(stack: RunningStack, service: DigitsService) -> None:
    def status(token: str) -> int:
        url = f"{stack.gateway_url}/v2/models/{service.name}/ready"
        return httpx.get(
            url, headers={"authorization": f"Bearer {token}"}, timeout=180, verify=NO_AUTHORITIES
        ).status_code

    def until(token: str, wanted: int) -> None:
        eventually(lambda: status(token) == wanted, f"status {wanted}", within_s=180)

    def signed_by_another(before: MintedToken) -> MintedToken | None:
        minted = rollbook.inference_tokens.mint(["*"])
        return minted if key_of(minted) != key_of(before) else None

    with stack.client() as rollbook:
        before = rollbook.inference_tokens.mint(["*"])
        until(before.token, 200)
        stack.answer("tokens", "rotate-key", "--lead", "1", "--reason", "a test")
        after = eventually(lambda: signed_by_another(before), "the lead is over", within_s=180)
        assert after is not None
        until(after.token, 200)
        assert status(before.token) == 200, "the overlap has not ended"
        stack.answer("tokens", "revoke", before.id, "--reason", "a test")
        until(before.token, 403)
        assert status(after.token) == 200


def test_a_trace_is_found_from_a_prediction(stack: RunningStack, service: DigitsService) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    url = f"{stack.gateway_url}/v2/models/{service.name}/ready"
    token = service.inference_token()
    headers = {"authorization": f"Bearer {token}", "traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    prediction_id = httpx.get(url, headers=headers, timeout=180, verify=NO_AUTHORITIES).headers["x-prediction-id"]

    def known() -> Prediction | None:
        with stack.client() as rollbook:
            try:
                return rollbook.predictions.who_served(prediction_id)
            except Problem:
                return None

    found = eventually(known, "the record", within_s=180)

    assert found is not None
    assert found.trace_id == trace
