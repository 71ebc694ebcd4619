"""The SDK's own words, on a running stack: serve, ask, roll out, wait, and be refused."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from infra.ports import free_ports
from rollbook import AsyncRollbook, Canary, ErrorRateGate, Problem, Rollbook, RollbookError, TookTooLong
from rollbook.local_stack import LocalStack
from rollbook_demo.models import SIGNATURE, read_digits, save_version, train_versions
from tests.support.eventually import eventually
from tests.support.stack import RunningStack

ROOT = Path(__file__).parents[2]
WITHIN_S = 120.0

pytestmark = pytest.mark.timeout(1_200)


def registered(rollbook: Rollbook, name: str, folder: Path) -> tuple[str, str]:
    """Register two versions of the digits, and return what they are called."""
    first, second, *_ = train_versions(read_digits())
    rollbook.models.register(name)
    found = [
        rollbook.versions.register(name, save_version(each, folder / f"{each.title}.skops"), signature=SIGNATURE)
        for each in (first, second)
    ]
    return found[0].reference, found[1].reference


def test_a_version_is_served_asked_and_followed_by_the_next(
    stack: RunningStack, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROLLBOOK_DATA_DIR", str(stack.data_dir))
    images = read_digits().live_images[:3]

    with Rollbook.local() as rollbook:
        first, second = registered(rollbook, name, tmp_path)
        told: list[str] = []
        endpoint = rollbook.serve(name, first, timeout_s=WITHIN_S, progress=told.append)
        result = endpoint.predict(images)
        framed = endpoint.predict(pd.DataFrame(images)).to_pandas()
        rollout = endpoint.rollout(
            second,
            strategy=Canary.in_steps(50, 100, min_s=1, max_s=600, bake_s=1),
            gates=[ErrorRateGate(max_increase=0.02, min_requests=10_000)],
        )
        with pytest.raises(TookTooLong):
            rollout.wait(timeout_s=0)
        eventually(lambda: rollout.get().phase == "stepping", "the candidate is warm", within_s=WITHIN_S)
        rollout.promote("seen enough")
        ended = rollout.wait(timeout_s=WITHIN_S, progress=told.append)
        endpoint.wait_until_ready(timeout_s=WITHIN_S)
        endpoint.send_feedback(result.id, int(result["label"][0]))
        reasons = [item.reason for item in rollout.timeline()]

    assert result["label"].shape == (3,)
    assert np.array_equal(framed["label"], result["label"])
    assert (result.version, ended.phase) == (first, "completed")
    assert any(line.startswith("waiting: ") for line in told)
    assert "seen enough" in reasons
    assert told[-1].split()[:3] == ["completed", "100", "%"]
    assert stack.status.state == "ready", "the stack was not started by the client, and goes on"


def test_the_quickstart_runs_as_it_is_printed(stack: RunningStack, name: str, tmp_path: Path) -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    script = page.split("```python\n")[1].partition("```")[0].replace('"flowers"', f'"{name}"')

    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "ROLLBOOK_DATA_DIR": str(stack.data_dir)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )

    assert done.returncode == 0, done.stderr
    assert f"answered by {name}/" in done.stdout
    assert "Promoted: candidate serves everything" in done.stdout


def test_a_stack_that_does_not_run_is_started_and_ends_with_the_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api, gateway = free_ports(2)
    monkeypatch.setenv("ROLLBOOK_SUPERVISOR_API_PORT", str(api))
    monkeypatch.setenv("ROLLBOOK_SUPERVISOR_GATEWAY_PORT", str(gateway))
    stack = LocalStack(tmp_path / "data")

    with Rollbook.local(stack.data_dir, timeout_s=WITHIN_S) as rollbook:
        ready = rollbook.health.ready()
        pid = stack.running_pid()

    assert ready.status == "ready"
    assert pid is not None
    assert stack.running_pid() is None


def test_refusals_say_what_and_where(rollbook: Rollbook, name: str, tmp_path: Path) -> None:
    first, second = registered(rollbook, name, tmp_path)
    endpoint = rollbook.serve(name, first, timeout_s=WITHIN_S)

    with pytest.raises(RollbookError, match=r"takes \[-1, 64\]"):
        endpoint.predict([[1.0, 2.0]])
    with pytest.raises(Problem) as weights:
        endpoint.rollout(second, strategy=Canary.in_steps(5))
    with pytest.raises(Problem) as unknown:
        rollbook.endpoint("nobody").predict([1.0])

    assert weights.value.code == "invalid-rollout"
    assert weights.value.field
    assert weights.value.remedy
    assert unknown.value.status == 404


def test_the_asynchronous_client_has_the_same_words(stack: RunningStack, name: str, tmp_path: Path) -> None:
    images = read_digits().live_images[:2]

    async def asked() -> tuple[int, ...]:
        async with await AsyncRollbook.local(stack.data_dir) as rollbook:
            endpoint = rollbook.endpoint(name)
            await endpoint.wait_until_ready(timeout_s=WITHIN_S)
            return (await endpoint.predict(images))["label"].shape

    with stack.client() as rollbook:
        rollbook.serve(name, registered(rollbook, name, tmp_path)[0], timeout_s=WITHIN_S)

    assert asyncio.run(asked()) == (2,)
