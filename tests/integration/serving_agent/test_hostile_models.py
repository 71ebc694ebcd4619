"""An engine that turns hostile reaches nothing beyond its own model, spool and port."""

import json
import os
import platform
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from infra.confinement.confine import protection_of_this_host
from infra.ports import free_port
from tests.integration.serving_agent.conftest import AgentHarness, eventually
from tests.support import hostile_library
from tests.support.digits import row_request, served
from tests.support.plain_http import NO_AUTHORITIES

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(not protection_of_this_host().is_whole, reason="this kernel cannot confine engines as a whole"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the attacker makes the system calls of x86-64"),
]
ANNOUNCE = "/v1/instances"
MAY = {"read its model", "write to its spool", "write to its home", "signal itself"}
# What instances in one process share: models and spools of this host, and no port of their own.
IN_COMPANY = {
    *("list the models", "read another model", "list the spools", "list the capture policies"),
    "listen on another port",
}
MEMORY = 3 * 1024**3
# It takes the place of onnxruntime, which it then loads, so that the engine works.
LIBRARY = """
import sys
from pathlib import Path

import hostile_library

sys.path.remove(str(Path(__file__).parents[1]))
del sys.modules["onnxruntime"]
hostile_library.run()
import onnxruntime
"""


@pytest.fixture
def listener() -> Iterator[str]:
    """Listen where one of our own programs might, and return the name."""
    name = f"rollbook-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(f"\0{name}")
        listening.listen()
        yield name


def hostile_folder(harness: AgentHarness, *, abstract: str) -> Path:
    folder = harness.root / "hostile"
    (folder / "onnxruntime").mkdir(parents=True)
    (folder / "onnxruntime" / "__init__.py").write_text(LIBRARY, encoding="utf-8")
    shutil.copy(hostile_library.__file__, folder)
    targets = {
        "root": str(harness.root / "data"),
        "token": str(harness.root / "token"),
        "own": "deployment-b",
        "other": "deployment-a",
        "supervisor": os.getpid(),
        "api_port": urlsplit(harness.control_plane.url).port,
        "kafka_port": int(harness.node.bootstrap.rpartition(":")[2]),
        "free_port": free_port(),
        "abstract": abstract,
    }
    (folder / "targets.json").write_text(json.dumps(targets), encoding="utf-8")
    return folder


async def report_of(
    harness: AgentHarness, monkeypatch: pytest.MonkeyPatch, *, abstract: str, **more: str
) -> dict[str, str]:
    """Serve a sound model and a hostile one, and return what the hostile one could do."""
    folder = hostile_folder(harness, abstract=abstract)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    harness.start(ENGINE_MEMORY_BYTES=str(MEMORY), **more)
    await harness.publish(harness.deployment("a", served("skops")))
    eventually(lambda: len(harness.control_plane.told(ANNOUNCE)) == 1, what="sound model", log=harness.log)
    await harness.publish(harness.deployment("b", served("onnx")))
    eventually(lambda: len(harness.control_plane.told(ANNOUNCE)) == 2, what="hostile model", log=harness.log)
    announced = harness.control_plane.told(ANNOUNCE)[1].body
    url = f"http://{announced['host']}:{announced['port']}/v2/models/digits/infer"
    answer = httpx.post(url, json=row_request(), timeout=180, verify=NO_AUTHORITIES)
    assert answer.status_code == 200, answer.text
    report = harness.directory / "frames" / announced["boot_id"] / hostile_library.REPORT
    found: dict[str, str] = json.loads(report.read_text(encoding="utf-8"))
    return found


async def test_hostile_native_code_reaches_nothing_beyond_its_own_model(
    harness: AgentHarness, listener: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = await report_of(harness, monkeypatch, abstract=listener, ENGINE_CONFINEMENT="required")

    assert {name for name, outcome in report.items() if outcome == "done"} == MAY
    assert set(report.values()) <= {"done", "EACCES", "EPERM", "ENOMEM", "EFBIG"}, report


async def test_a_process_of_several_models_reaches_no_more_than_the_models_of_its_host(
    harness: AgentHarness, listener: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = {"ENGINE_CONFINEMENT": "required", "MODELS_PER_PROCESS": "2"}
    report = await report_of(harness, monkeypatch, abstract=listener, **more)

    assert {name for name, outcome in report.items() if outcome == "done"} <= MAY | IN_COMPANY


async def test_the_attacks_work_where_nothing_stops_them(
    harness: AgentHarness, listener: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = await report_of(harness, monkeypatch, abstract=listener, ENGINE_CONFINEMENT="off")

    stopped = {name: outcome for name, outcome in report.items() if outcome != "done"}
    assert stopped == {}
    assert "engines are not confined" in harness.log()
