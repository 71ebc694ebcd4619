"""The limits of an endpoint change while it serves: no one is refused."""

from pathlib import Path

import pytest

from rollbook import Rollbook
from rollbook.resources import FailoverPolicy
from tests.support.digits_service import serve_digits
from tests.support.eventually import eventually
from tests.support.region_traffic import RegionTraffic, region_traffic
from tests.support.stack import RunningStack

pytestmark = pytest.mark.timeout(1_200)
LOCAL = "local"
CHANGES = 8
ANSWERS = 50


def test_a_change_of_limits_costs_no_request(
    stack: RunningStack, rollbook: Rollbook, name: str, tmp_path: Path
) -> None:
    service = serve_digits(stack, rollbook, name, directory=tmp_path, replicas=2)
    with region_traffic({LOCAL: stack.gateway_url}, endpoint=name, token=service.inference_token()) as traffic:
        for turn in range(CHANGES):
            _more_answers(traffic)
            policy = FailoverPolicy(max_requests=500 + turn, max_connections=500 + turn, max_retries=2 + turn % 3)
            rollbook.endpoints.set_failover_policy(name, policy, reason="test")
        _more_answers(traffic)

    assert traffic.failures == []


def _more_answers(traffic: RegionTraffic) -> None:
    seen = len(traffic.answers[LOCAL])
    eventually(lambda: len(traffic.answers[LOCAL]) > seen + ANSWERS, "more answers", within_s=180)
