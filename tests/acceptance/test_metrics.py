"""Every program of a running stack tells its metrics in a form that the library's own parser reads."""

from collections.abc import Iterator

import httpx
import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as prometheus_text

from tests.support.plain_http import NO_AUTHORITIES
from tests.support.stack import RunningStack

OPEN_METRICS = "application/openmetrics-text"
KNOWN = {
    "api": {"rollbook_http_requests", "rollbook_http_request_duration_seconds", "rollbook_log_position"},
    "relay": {"rollbook_relay_position", "rollbook_relay_published_events", "rollbook_relay_failures"},
    "projections": {"rollbook_sink_messages", "rollbook_sink_dead_letters", "rollbook_sink_inserted_rows"},
    "follower": {"rollbook_follower_position", "rollbook_follower_gateways", "rollbook_follower_resources"},
    "shipper": {"rollbook_shipper_records", "rollbook_shipper_batches", "rollbook_shipper_closed_until_seconds"},
    "agent": {"rollbook_agent_instances", "rollbook_agent_shipped_batches", "rollbook_agent_lost_frames"},
    "drift": {"rollbook_drift_position", "rollbook_drift_monitors", "rollbook_drift_looks"},
    "judge": {"rollbook_judge_position", "rollbook_judge_active_rollouts", "rollbook_judge_looks"},
}


def open_metrics(text: str) -> Iterator[Metric]:
    families: Iterator[Metric] = text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    return families


@pytest.mark.parametrize("program", KNOWN)
def test_a_program_shows_its_metrics_where_the_status_says(stack: RunningStack, program: str) -> None:
    address = stack.program(program).metrics
    assert address is not None

    answer = httpx.get(
        address, headers={"accept": f"{OPEN_METRICS}; version=1.0.0"}, timeout=180, verify=NO_AUTHORITIES
    )

    assert answer.headers["content-type"].startswith(OPEN_METRICS)
    families = {family.name: family for family in open_metrics(answer.text)}
    assert KNOWN[program] <= families.keys()
    (resident,) = families["process_resident_memory_bytes"].samples
    assert resident.value > 1_000_000
    for family in families.values():
        assert family.documentation, family.name
        if family.type == "counter":
            assert {sample.name for sample in family.samples} <= {f"{family.name}_total", f"{family.name}_created"}


def test_the_gateway_shows_envoys_own_metrics(stack: RunningStack) -> None:
    address = stack.program("envoy").metrics
    assert address is not None

    families = {family.name for family in prometheus_text(httpx.get(address, timeout=180, verify=NO_AUTHORITIES).text)}

    assert "envoy_http_downstream_rq" in families


def test_what_a_program_counts_grows_with_what_it_does(stack: RunningStack) -> None:
    address = stack.program("api").metrics
    assert address is not None

    def answered() -> float:
        labels = {"method": "GET", "route": "/v1/models", "status": "200"}
        for family in open_metrics(
            httpx.get(address, headers={"accept": OPEN_METRICS}, timeout=180, verify=NO_AUTHORITIES).text
        ):
            for sample in family.samples:
                if sample.name == "rollbook_http_requests_total" and sample.labels == labels:
                    return sample.value
        return 0.0

    before = answered()
    with stack.client() as rollbook:
        rollbook.models.list(limit=1)

    assert answered() == before + 1
