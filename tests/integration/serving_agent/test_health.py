"""Instances that stop being right while they serve: real engines that hang or whose memory is spoilt."""

import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import httpx
import msgspec
import psutil

from tests.integration.serving_agent.conftest import AgentHarness, Command, eventually
from tests.support.digits import row_request, served, trained
from tests.support.plain_http import NO_AUTHORITIES
from tests.support.process_memory import spoil

ANNOUNCE = "/v1/instances"
FAIL = "/v1/instances/[^/]+/fail"
WITHDRAW = "/v1/instances/[^/]+/withdraw"
# What is slow and what hangs is for each test to say: as it is here, neither happens on a machine that is merely busy.
PROBES = {"PROBE_INTERVAL_S": "0.2", "PROBE_TIMEOUT_S": "60", "PROBE_SLOW_S": "60", "PROBE_FAULTS": "2"}
PROBED_OFTEN = 4


def told(harness: AgentHarness, pattern: str, *, where: Callable[[Command], bool] = lambda _: True) -> Command:
    """Wait for a command of this path; its instance may have been told of before, by other commands."""
    found: list[Command] = []

    def look() -> bool:
        found[:] = [one for one in harness.control_plane.told(pattern) if where(one)]
        return bool(found)

    eventually(look, what=pattern, log=harness.log)
    return found[0]


def withdrawal_of(instance_id: str) -> str:
    return f"/v1/instances/{instance_id}/withdraw"


def two_announced(harness: AgentHarness) -> tuple[Command, Command]:
    first = told(harness, ANNOUNCE)
    return first, told(harness, ANNOUNCE, where=lambda one: one.body["instance_id"] != first.body["instance_id"])


def announced_again(harness: AgentHarness, before: Command) -> Command:
    """Wait for the same instance with another boot."""
    instance_id, boot_id = before.body["instance_id"], before.body["boot_id"]
    return told(
        harness,
        ANNOUNCE,
        where=lambda one: one.body["instance_id"] == instance_id and one.body["boot_id"] != boot_id,
    )


def label_of(announcement: Command) -> int:
    url = f"http://{announcement.body['host']}:{announcement.body['port']}/v2/models/digits/infer"
    return int(
        httpx.post(url, json=row_request(), timeout=180, verify=NO_AUTHORITIES)
        .raise_for_status()
        .json()["outputs"][0]["data"][0]
    )


def pid_of(announcement: Command) -> int:
    url = f"http://{announcement.body['host']}:{announcement.body['port']}/rollbook/instance"
    return int(httpx.get(url, timeout=180, verify=NO_AUTHORITIES).json()["pid"])


def test_an_instance_that_hangs_is_withdrawn_killed_and_comes_back(harness: AgentHarness) -> None:
    added = harness.deployment("a", served("onnx"))
    harness.want(msgspec.structs.replace(added, replicas=2))
    harness.start(**PROBES | {"PROBE_TIMEOUT_S": "3"})
    hung, other = two_announced(harness)
    pid = pid_of(hung)

    os.kill(pid, signal.SIGSTOP)

    withdrawal = told(harness, WITHDRAW)
    assert withdrawal.path == withdrawal_of(hung.body["instance_id"])
    assert withdrawal.body["code"] == "instance-hung"
    assert re.search(r"probes failed; its log engine-\S+\.log ends with: ", withdrawal.body["reason"])
    back = announced_again(harness, hung)
    assert label_of(back) == label_of(other)
    assert not psutil.pid_exists(pid)
    assert harness.control_plane.told(withdrawal_of(other.body["instance_id"])) == []


def test_an_instance_whose_answers_become_wrong_is_withdrawn_and_comes_back_right(harness: AgentHarness) -> None:
    harness.want(harness.deployment("a", served("skops")))
    harness.start(**PROBES)
    first = told(harness, ANNOUNCE)
    right = label_of(first)
    weights = trained()[-1].coef_

    assert spoil(pid_of(first), content=weights.tobytes("A"), replacement=(-weights).tobytes("A"))

    withdrawal = told(harness, WITHDRAW)
    assert withdrawal.body["code"] == "golden-answer-wrong"
    assert "output 'label' should be" in withdrawal.body["reason"]
    assert "log" not in withdrawal.body["reason"]
    second = announced_again(harness, first)
    assert label_of(second) == right
    # The version did answer rightly here, so it is not given up as one that never will.
    assert harness.control_plane.told(FAIL) == []


def test_an_instance_that_is_slow_beside_a_healthy_one_is_withdrawn(harness: AgentHarness) -> None:
    added = harness.deployment("a", served("onnx"))
    harness.want(msgspec.structs.replace(added, replicas=2))
    harness.start(**PROBES | {"PROBE_SLOW_S": "0.8"})
    slow, _ = two_announced(harness)

    # On a busy machine the other one may be slow as well, for a while.
    with held_up(pid_of(slow)):
        withdrawal = told(harness, withdrawal_of(slow.body["instance_id"]))

    assert withdrawal.body["code"] == "instance-slow"
    announced_again(harness, slow)


@contextmanager
def held_up(pid: int) -> Iterator[None]:
    """Let a process run only a sixteenth of the time.

    It runs for less than the agent waits before it looks again, else that second look could always fall into the time
    in which the process runs, and take its fault back.
    """
    is_over = threading.Event()

    def hold_up() -> None:
        with suppress(ProcessLookupError):
            while not is_over.is_set():
                os.kill(pid, signal.SIGSTOP)
                is_over.wait(1.5)
                os.kill(pid, signal.SIGCONT)
                is_over.wait(0.1)

    thread = threading.Thread(target=hold_up)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def test_a_healthy_instance_is_left_alone(harness: AgentHarness) -> None:
    harness.want(harness.deployment("a", served("onnx")))
    harness.start(**PROBES)
    first = told(harness, ANNOUNCE)
    pid, before = pid_of(first), answers_of(first)

    for _ in range(200):
        label_of(first)
    eventually(lambda: answers_of(first) >= before + 200 + PROBED_OFTEN, what="probes", log=harness.log)

    assert pid_of(first) == pid
    assert harness.control_plane.told(WITHDRAW) == []


def answers_of(announcement: Command) -> int:
    """Return how many requests an instance has answered, probes among them."""
    metrics = httpx.get(
        f"http://{announcement.body['host']}:{announcement.body['port']}/metrics", timeout=180, verify=NO_AUTHORITIES
    ).text
    answered = re.search(r'^rollbook_inference_requests_total\{.*status="200"\} (\d+)$', metrics, re.MULTILINE)
    assert answered, metrics
    return int(answered[1])
