"""An endpoint under load scales from one to three, back to one, to none and up again, and loses no request."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from rollbook.resources import ScalingPolicy
from rollbook_demo.models import golden_example, read_digits, train_versions
from tests.support.digits_service import DigitsService, serve_digits
from tests.support.eventually import eventually
from tests.support.plain_http import NO_AUTHORITIES
from tests.support.stack import RunningStack

NAME = "digits-scaled"
POLICY = ScalingPolicy(
    min_replicas=0,
    max_replicas=3,
    in_flight=0.3,
    cool_down_ms=500,
    stabilisation_window_ms=4_000,
    idle_before_zero_ms=4_000,
)


class Callers:
    """Many callers at once, each with one request after the other; what they are answered is counted."""

    def __init__(self, service: DigitsService) -> None:
        self._url = f"{service.stack.gateway_url}/v2/models/{service.name}/infer"
        limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
        headers = {"authorization": f"Bearer {service.inference_token()}"}
        self._client = httpx.Client(headers=headers, timeout=180, limits=limits, verify=NO_AUTHORITIES)
        golden = golden_example(train_versions(read_digits())[0], read_digits().train_images[0])
        self._body = {"inputs": golden["inputs"]}
        self.answers: Counter[str] = Counter()

    def close(self) -> None:
        self._client.close()

    def ask(self) -> httpx.Response:
        answer = self._client.post(self._url, json=self._body)
        self.answers[f"{answer.status_code} {answer.headers.get('x-rollbook-reason', '')}".strip()] += 1
        return answer

    @contextmanager
    def busy(self, callers: int, *, pause_s: float) -> Iterator[None]:
        over = threading.Event()

        def call() -> None:
            while not over.is_set():
                try:
                    self.ask()
                except httpx.HTTPError as error:
                    self.answers[repr(error)] += 1
                over.wait(pause_s)

        threads = [threading.Thread(target=call) for _ in range(callers)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()


@pytest.mark.timeout(1_200)
def test_no_request_is_lost_from_one_to_three_to_one_to_none_to_one(stack: RunningStack, tmp_path: Path) -> None:
    with stack.client() as rollbook:
        callers = Callers(serve_digits(stack, rollbook, NAME, directory=tmp_path))

        def replicas() -> tuple[int, int]:
            (deployment,) = rollbook.endpoints.get(NAME).deployments
            return deployment.replicas, len(deployment.instances)

        rollbook.endpoints.set_scaling_policy(NAME, POLICY, reason="test")
        with callers.busy(16, pause_s=0.0):
            eventually(lambda: replicas() == (3, 3), "three replicas", within_s=180)
        with callers.busy(1, pause_s=0.1):
            eventually(lambda: replicas() == (1, 1), "one replica again", within_s=180)
        eventually(lambda: replicas() == (0, 0), "sleep", within_s=180)
        began = time.monotonic()
        assert callers.ask().status_code == 200
        print(f"first answer after {time.monotonic() - began:.2f} s asleep")  # noqa: T201 - the measured figure
        why = rollbook.endpoints.scaling(NAME)

    callers.close()
    assert why.deployments[0].reason
    assert set(callers.answers) == {"200"}, callers.answers
