"""A candidate that refuses what callers send: not started unawares, and not hidden by health checks that succeed."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from rollbook import Rollbook
from rollbook_demo.models import SIGNATURE, read_digits, save_version, train_versions
from tests.support.digits_service import GATES, DigitsService, canary, serve_digits
from tests.support.plain_http import NO_AUTHORITIES
from tests.support.refusals import refused
from tests.support.stack import RunningStack

pytestmark = pytest.mark.timeout(1_200)
IMAGE: dict[str, Any] = {**SIGNATURE, "inputs": [{**SIGNATURE["inputs"][0], "name": "image"}]}
STRATEGY = canary(50, step_ms=2_000, bake_ms=1_000)
INFERENCES_PER_S = 20.0


@contextmanager
def health_checks(service: DigitsService) -> Iterator[list[int]]:
    """Ask whether the model is ready, one request after the other; yield the statuses."""
    url = f"{service.stack.gateway_url}/v2/models/{service.name}/ready"
    headers = {"authorization": f"Bearer {service.inference_token()}"}
    stopping, statuses = threading.Event(), list[int]()

    def check() -> None:
        with httpx.Client(headers=headers, timeout=10, verify=NO_AUTHORITIES) as client:
            while not stopping.is_set():
                statuses.append(client.get(url).status_code)

    checking = threading.Thread(target=check)
    checking.start()
    try:
        yield statuses
    finally:
        stopping.set()
        checking.join()


def test_a_candidate_that_refuses_its_callers_is_aborted_however_healthy_it_seems(
    stack: RunningStack, rollbook: Rollbook, name: str, tmp_path: Path
) -> None:
    service = serve_digits(stack, rollbook, name, directory=tmp_path)
    file = save_version(train_versions(read_digits())[0], tmp_path / "image.skops")
    version = rollbook.versions.register(name, file, signature=IMAGE).reference
    plan: dict[str, Any] = {"strategy": STRATEGY, "gates": [GATES[0]]}

    with refused(rollbook, "signature-changed") as refusal:
        rollbook.rollouts.start(name, version, **plan)
    with service.traffic(requests_per_s=INFERENCES_PER_S), health_checks(service) as statuses:
        started = rollbook.rollouts.start(name, version, allow_signature_change=True, **plan)
        ended = service.until_over(started.id)
        metrics = rollbook.endpoints.metrics(name)

    assert "it has no input 'pixels'; it takes 'image'" in refusal.value.document.detail
    assert (ended.phase, ended.allow_signature_change) == ("aborted", True)
    assert {verdict.gate: verdict.outcome for verdict in ended.verdicts}["caller_error_rate"] == "fail"
    assert ended.reason == "Aborted at 50 %: requests refused with 4xx rose from 0.0 % to 100.0 %.", ended.reason
    served = sum(bucket.requests for bucket in metrics.items)
    assert len(statuses) > served, "there were more health checks than predictions"
    assert set(statuses) == {200}
