"""Instances that stop being right while they serve: real engines that hang or whose memory is spoilt."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx
import msgspec
import psutil

from tests.integration.serving_agent.conftest import AgentHarness, Command, eventually
from tests.support.digits import row_request, served, trained
from tests.support.process_memory import spoil

ANNOUNCE = "/v1/instances"
WITHDRAW = "/v1/instances/[^/]+/withdraw"
FAIL = "/v1/instances/[^/]+/fail"
PROBES = {"PROBE_INTERVAL_S": "0.2", "PROBE_TIMEOUT_S": "2", "PROBE_SLOW_S": "1.5", "PROBE_FAULTS": "2"}


def told(harness: AgentHarness, pattern: str, count: int = 1) -> Command:
    control_plane = harness.control_plane
    eventually(lambda: len(control_plane.told(pattern)) >= count, what=f"{count} × {pattern}", log=harness.log)
    return control_plane.told(pattern)[count - 1]


def label_of(announcement: Command) -> int:
    url = f"http://{announcement.body['host']}:{announcement.body['port']}/v2/models/digits/infer"
    return int(httpx.post(url, json=row_request(), timeout=20).raise_for_status().json()["outputs"][0]["data"][0])


def pid_of(announcement: Command) -> int:
    url = f"http://{announcement.body['host']}:{announcement.body['port']}/rollbook/instance"
    return int(httpx.get(url, timeout=20).json()["pid"])


def test_an_instance_that_hangs_is_withdrawn_killed_and_comes_back(harness: AgentHarness) -> None:
    added = harness.deployment("a", served("onnx"))
    harness.want(msgspec.structs.replace(added, replicas=2))
    harness.start(**PROBES)
    hung, other = told(harness, ANNOUNCE, 1), told(harness, ANNOUNCE, 2)
    pid = pid_of(hung)

    os.kill(pid, signal.SIGSTOP)

    withdrawal = told(harness, WITHDRAW)
    assert withdrawal.path == f"/v1/instances/{hung.body['instance_id']}/withdraw"
    assert withdrawal.body["code"] == "instance-hung"
    assert "probes were at fault" in withdrawal.body["reason"]
    back = told(harness, ANNOUNCE, 3)
    assert back.body["instance_id"] == hung.body["instance_id"]
    assert back.body["boot_id"] != hung.body["boot_id"]
    assert label_of(back) == label_of(other)
    assert not psutil.pid_exists(pid)
    assert len(harness.control_plane.told(WITHDRAW)) == 1


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
    second = told(harness, ANNOUNCE, 2)
    assert second.body["boot_id"] != first.body["boot_id"]
    assert label_of(second) == right
    # The version did answer rightly here, so it is not given up as one that never will.
    assert harness.control_plane.told(FAIL) == []


def test_an_instance_that_is_slow_beside_a_healthy_one_is_withdrawn(harness: AgentHarness) -> None:
    added = harness.deployment("a", served("onnx"))
    harness.want(msgspec.structs.replace(added, replicas=2))
    harness.start(**PROBES | {"PROBE_TIMEOUT_S": "10", "PROBE_SLOW_S": "0.8"})
    slow = told(harness, ANNOUNCE, 1)
    told(harness, ANNOUNCE, 2)

    with held_up(pid_of(slow)):
        withdrawal = told(harness, WITHDRAW)

    assert withdrawal.path == f"/v1/instances/{slow.body['instance_id']}/withdraw"
    assert withdrawal.body["code"] == "instance-slow"
    assert told(harness, ANNOUNCE, 3).body["instance_id"] == slow.body["instance_id"]


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
    pid = pid_of(first)
    harness.control_plane.commands.clear()

    for _ in range(200):
        label_of(first)

    assert pid_of(first) == pid
    assert harness.control_plane.told(WITHDRAW) == []
