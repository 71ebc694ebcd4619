"""Instances of several endpoints in one process: as separate to callers and to the log as if each had its own."""

import os
import signal
import socket
from pathlib import Path

import httpx
import msgspec
import psutil

from schemas.events.endpoints import DeploymentRemoved
from tests.integration.serving_agent.conftest import AgentHarness, Command, batches_until_closing, eventually
from tests.support.digits import row_request, served
from tests.support.plain_http import NO_AUTHORITIES

ANNOUNCE = "/v1/instances"
FAIL = "/v1/instances/[^/]+/fail"


def _want(harness: AgentHarness, name: str, *, endpoint_id: str, workspace: str = "default", replicas: int = 1) -> None:
    added = msgspec.structs.replace(harness.deployment(name, served("onnx")), replicas=replicas)
    harness.want(added, endpoint_id=endpoint_id, workspace=workspace)


def _announced(harness: AgentHarness, count: int) -> list[Command]:
    """Wait for so many announcements, and return the last one of each instance."""
    told = harness.control_plane.told
    eventually(lambda: len(told(ANNOUNCE)) >= count, what=f"announcement {count}", log=harness.log)
    return list({command.body["instance_id"]: command for command in told(ANNOUNCE)}.values())


def _of(announced: list[Command], deployment: str) -> list[Command]:
    return [command for command in announced if command.body["deployment_id"] == f"deployment-{deployment}"]


def _url(announcement: Command) -> str:
    return f"http://{announcement.body['host']}:{announcement.body['port']}"


def _pid(announcement: Command) -> int:
    return int(httpx.get(f"{_url(announcement)}/rollbook/instance", timeout=180, verify=NO_AUTHORITIES).json()["pid"])


def _answers(announcement: Command, model: str = "digits", *, prediction_id: str = "p") -> bool:
    path = f"{_url(announcement)}/v2/models/{model}/infer"
    answer = httpx.post(
        path, json=row_request(), headers={"x-prediction-id": prediction_id}, timeout=180, verify=NO_AUTHORITIES
    )
    return answer.is_success


def _are_in(wanted: set[bytes], spool: Path) -> bool:
    written = b"".join(each.read_bytes() for each in spool.glob("*"))
    return all(one in written for one in wanted)


def _is_running(pid: int) -> bool:
    return psutil.pid_exists(pid) and bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)


async def test_a_crash_ends_the_instances_of_one_process_while_other_copies_answer(harness: AgentHarness) -> None:
    _want(harness, "a", endpoint_id="endpoint-1", replicas=2)
    _want(harness, "b", endpoint_id="endpoint-2")
    _want(harness, "elsewhere", endpoint_id="endpoint-3", workspace="other")
    harness.start(MODELS_PER_PROCESS="8")
    first = _announced(harness, 4)
    copies, (neighbour,), (stranger,) = _of(first, "a"), _of(first, "b"), _of(first, "elsewhere")
    pids = [_pid(copy) for copy in copies]

    assert len(set(pids)) == 2, "two copies of one endpoint share no process"
    assert _pid(neighbour) in pids
    assert _pid(stranger) not in pids, "workspaces share no process"
    assert _answers(neighbour, "endpoint-2", prediction_id="the-answer")
    assert not _answers(neighbour, "digits", prediction_id="the-refusal"), "a port answers for its own model alone"
    # An engine writes down what it answered a moment later; a kill before that would lose it.
    spool = harness.directory / "frames" / str(neighbour.body["boot_id"])
    eventually(lambda: _are_in({b"the-answer", b"the-refusal"}, spool), what="both in the spool", log=harness.log)
    crashed = _pid(neighbour)
    (hit,), (spared,) = ([copy for copy in copies if (_pid(copy) == crashed) is same] for same in (True, False))

    os.kill(crashed, signal.SIGKILL)
    assert _answers(spared)

    second = _announced(harness, 6)
    (hit_again,) = [one for one in second if one.body["instance_id"] == hit.body["instance_id"]]
    (neighbour_again,) = _of(second, "b")
    assert hit_again.body["port"] == hit.body["port"]
    assert _answers(hit_again)
    assert _answers(neighbour_again, "endpoint-2")
    assert _pid(neighbour_again) in {_pid(hit_again), _pid(spared)}, "one crash is no reason to be alone"
    assert _pid(spared) in pids
    assert _pid(spared) != crashed
    shipped = await batches_until_closing(harness.node, neighbour.body["boot_id"])
    assert sum(headers.rows for headers, _ in shipped) == 2, "the answer and the refusal"


async def test_the_next_agent_adopts_them_one_ends_without_the_other_and_the_last_ends_the_process(
    harness: AgentHarness,
) -> None:
    _want(harness, "a", endpoint_id="endpoint-1")
    _want(harness, "b", endpoint_id="endpoint-2")
    harness.start(MODELS_PER_PROCESS="8")
    first = _announced(harness, 2)
    (pid,) = {_pid(one) for one in first}

    harness.kill()
    (stays,), (goes,) = _of(first, "a"), _of(first, "b")
    assert _answers(goes, "endpoint-2", prediction_id="while-away")
    harness.start(MODELS_PER_PROCESS="8")
    again = _announced(harness, 4)
    assert [one.body for one in again] == [one.body for one in first]
    assert {_pid(one) for one in again} == {pid}

    await harness.publish(DeploymentRemoved(deployment_id="deployment-b", reason="test"), stream="endpoint-2")
    shipped = await batches_until_closing(harness.node, goes.body["boot_id"])
    assert sum(headers.rows for headers, _ in shipped) == 1
    eventually(lambda: [record["pid"] for record in harness.records()] == [pid], what="one record", log=harness.log)
    assert _answers(stays)
    assert _pid(stays) == pid

    await harness.publish(DeploymentRemoved(deployment_id="deployment-a", reason="test"))
    eventually(lambda: not _is_running(pid), what="end of the shared process", log=harness.log)
    eventually(lambda: harness.records() == [], what="no record", log=harness.log)


async def test_a_model_that_cannot_be_loaded_is_failed_with_its_reason_beside_one_that_serves(
    harness: AgentHarness,
) -> None:
    _want(harness, "a", endpoint_id="endpoint-1")
    harness.start(MODELS_PER_PROCESS="8")
    (serves,) = _announced(harness, 1)
    pid = _pid(serves)
    right = served("onnx")
    wrong = right.golden.outputs | {"label": (7,)}
    added = msgspec.structs.replace(
        harness.deployment("b", right), golden=msgspec.structs.replace(right.golden, outputs=wrong)
    )

    harness.want(added, endpoint_id="endpoint-2")
    harness.kill()
    harness.start(MODELS_PER_PROCESS="8")

    eventually(lambda: bool(harness.control_plane.told(FAIL)), what="failure", log=harness.log)
    (failed,) = harness.control_plane.told(FAIL)
    assert failed.body["code"] == "golden-answer-wrong"
    assert "label" in failed.body["reason"]
    assert _pid(serves) == pid
    assert _answers(serves)


async def test_an_instance_whose_caller_never_ends_is_cut_short_and_its_neighbour_stays(harness: AgentHarness) -> None:
    _want(harness, "a", endpoint_id="endpoint-1")
    _want(harness, "b", endpoint_id="endpoint-2")
    harness.start(MODELS_PER_PROCESS="8", DRAIN_DEADLINE_S="1")
    first = _announced(harness, 2)
    (stays,), (goes,) = _of(first, "a"), _of(first, "b")
    pid = _pid(stays)
    with socket.create_connection((goes.body["host"], goes.body["port"])) as caller:
        caller.sendall(b"POST /v2/models/endpoint-2/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{")

        await harness.publish(DeploymentRemoved(deployment_id="deployment-b", reason="test"), stream="endpoint-2")
        eventually(lambda: len(harness.records()) == 1, what="end of one instance", log=harness.log)

    assert _pid(stays) == pid
    assert "shared_process_killed" not in harness.log()


async def test_a_process_that_hangs_is_ended_and_its_instances_come_back(harness: AgentHarness) -> None:
    _want(harness, "a", endpoint_id="endpoint-1")
    _want(harness, "b", endpoint_id="endpoint-2")
    harness.start(MODELS_PER_PROCESS="8", PROBE_INTERVAL_S="0.1", PROBE_TIMEOUT_S="2", PROBE_FAULTS="1")
    first = _announced(harness, 2)
    (pid,) = {_pid(one) for one in first}

    os.kill(pid, signal.SIGSTOP)

    again = _announced(harness, 4)
    assert not _is_running(pid)
    assert [one.body["port"] for one in again] == [one.body["port"] for one in first]
    assert _answers(again[0], "digits" if again[0].body["endpoint_id"] == "endpoint-1" else "endpoint-2")


async def test_what_was_twice_in_a_process_that_crashed_shares_none(harness: AgentHarness) -> None:
    _want(harness, "a", endpoint_id="endpoint-1")
    _want(harness, "b", endpoint_id="endpoint-2")
    harness.start(MODELS_PER_PROCESS="8")

    for crash in (1, 2):
        (pid,) = {_pid(one) for one in _announced(harness, 2 * crash)}
        os.kill(pid, signal.SIGKILL)

    assert len({_pid(one) for one in _announced(harness, 6)}) == 2
