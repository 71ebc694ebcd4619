"""Wrong input through the public API and the command line: refused before anything runs, with the remedy."""

import hashlib
import pickle
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from rollbook import Problem, Rollbook
from rollbook.resources import Rollout
from rollbook_demo.models import SIGNATURE
from tests.support.digits_service import GATES, DigitsService, canary, serve_digits
from tests.support.plain_http import NO_AUTHORITIES
from tests.support.refusals import refused
from tests.support.stack import RunningStack, rollbook_command

pytestmark = pytest.mark.timeout(1_200)
STRATEGY = canary(10, step_ms=60_000, bake_ms=60_000)


@pytest.fixture(scope="module")
def service(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DigitsService]:
    with stack.client() as rollbook:
        yield serve_digits(stack, rollbook, "refuser", directory=tmp_path_factory.mktemp("refuser"))


def run(stack: RunningStack, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = rollbook_command("--data-dir", str(stack.data_dir), *arguments)
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)


def test_weights_that_do_not_sum_to_100_are_refused(service: DigitsService, rollbook: Rollbook) -> None:
    deployment = service.deployment_of(service.versions[0])

    with refused(rollbook, "invalid-weights"):
        rollbook.endpoints.set_traffic(service.name, {deployment: 99.0})

    assert rollbook.endpoints.get(service.name).allocations[0].weight_percent == 100


def test_the_command_line_says_in_one_line_why_weights_are_refused(stack: RunningStack, service: DigitsService) -> None:
    deployment = service.deployment_of(service.versions[0])

    refusal = run(stack, "traffic", "set", service.name, f"{deployment}=101")

    assert refusal.returncode == 1
    assert refusal.stdout == ""
    assert len(refusal.stderr.splitlines()) == 1
    assert "[invalid-weights]" in refusal.stderr


def test_a_rollout_to_the_version_that_is_live_is_refused(service: DigitsService, rollbook: Rollbook) -> None:
    with refused(rollbook, "version-already-live"):
        rollbook.rollouts.start(service.name, service.versions[0], strategy=STRATEGY, gates=list(GATES))


def test_of_two_rollouts_that_start_at_once_one_wins_and_the_other_is_told(
    stack: RunningStack, service: DigitsService, rollbook: Rollbook
) -> None:
    together, outcomes = threading.Barrier(2, timeout=180), list[Rollout | Problem]()

    def start(version: str) -> None:
        with stack.client() as client:
            client.endpoints.get(service.name)
            together.wait()
            try:
                outcomes.append(client.rollouts.start(service.name, version, strategy=STRATEGY, gates=list(GATES)))
            except Problem as problem:
                outcomes.append(problem)

    threads = [threading.Thread(target=start, args=[version]) for version in service.versions[1:3]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    started = [outcome for outcome in outcomes if isinstance(outcome, Rollout)]
    problems = [outcome for outcome in outcomes if isinstance(outcome, Problem)]
    active = rollbook.rollouts.list(endpoint=service.name, active=True)
    for rollout in active:
        rollbook.rollouts.abort(rollout.id, reason="the test is over")
    assert [problem.code for problem in problems] == ["rollout-active"]
    assert [rollout.id for rollout in started] == [rollout.id for rollout in active]


def test_an_artifact_whose_digest_differs_is_refused_and_not_kept(
    stack: RunningStack, service: DigitsService, rollbook: Rollbook
) -> None:
    promised = hashlib.sha256(b"promised").hexdigest()
    with httpx.Client(
        base_url=stack.api_url,
        headers={"authorization": f"Bearer {stack.admin_token}"},
        timeout=180,
        verify=NO_AUTHORITIES,
    ) as http:
        answer = http.put(f"/v1/artifacts/sha256:{promised}", content=b"delivered")
        kept = http.head(f"/v1/artifacts/sha256:{promised}")

    assert (answer.status_code, answer.json()["code"]) == (422, "artifact-digest-differs")
    assert kept.status_code == 404
    artifact = {"digest": f"sha256:{promised}", "format": "skops"}
    with refused(rollbook, "artifact-not-found"):
        rollbook.versions.create(service.name, artifact, signature=SIGNATURE)


@pytest.mark.parametrize("content", [b"no model at all", pickle.dumps({"a": "bare pickle"})])
@pytest.mark.parametrize("ending", ["skops", "onnx"])
def test_a_file_that_is_no_model_is_refused_before_anything_runs(
    service: DigitsService, rollbook: Rollbook, tmp_path: Path, content: bytes, ending: str
) -> None:
    path = tmp_path / f"model.{ending}"
    path.write_bytes(content)
    known = rollbook.versions.list(service.name)

    with refused(rollbook, "artifact-is-no-model"):
        rollbook.versions.register(service.name, path, signature=SIGNATURE)

    assert rollbook.versions.list(service.name) == known
