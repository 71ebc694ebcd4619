"""The limits of an endpoint change while it serves: nobody is refused and nobody waits."""

import time
from pathlib import Path

import pytest

from rollbook import Rollbook
from rollbook.resources import FailoverPolicy
from tests.support.digits_service import serve_digits
from tests.support.eventually import eventually
from tests.support.region_traffic import RegionTraffic, region_traffic
from tests.support.stack import RunningStack

pytestmark = pytest.mark.timeout(300)
LOCAL = "local"
CHANGES = 8
WATCHED_S = 3.0
# A gateway that has nothing for a cluster waits five seconds for it.
MOST_SILENCE_S = 2.5


def test_a_change_of_limits_costs_no_request_and_no_pause(
    stack: RunningStack, rollbook: Rollbook, name: str, tmp_path: Path
) -> None:
    service = serve_digits(stack, rollbook, name, directory=tmp_path, replicas=2)
    silences = []
    with region_traffic({LOCAL: stack.gateway_url}, endpoint=name, token=service.inference_token()) as traffic:
        eventually(lambda: len(traffic.answers[LOCAL]) > 50, "answers", within_s=60)
        for turn in range(CHANGES):
            policy = FailoverPolicy(max_requests=500 + turn, max_connections=500 + turn, max_retries=2 + turn % 3)
            rollbook.endpoints.set_failover_policy(name, policy, reason="test")
            silences.append(_longest_silence_s(traffic))

    assert traffic.failures == []
    assert max(silences) < MOST_SILENCE_S, silences


def _longest_silence_s(traffic: RegionTraffic) -> float:
    seen, since, longest = len(traffic.answers[LOCAL]), time.monotonic(), 0.0
    until = since + WATCHED_S
    while (now := time.monotonic()) < until:
        if len(traffic.answers[LOCAL]) != seen:
            seen, since = len(traffic.answers[LOCAL]), now
        longest = max(longest, now - since)
        time.sleep(0.02)
    return longest
