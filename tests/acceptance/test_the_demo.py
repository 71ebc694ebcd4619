"""The demo as a newcomer starts it: the story ends as told, every proof holds, and no process is left."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.eventually import eventually
from tests.support.stack import MarkedProcesses, rollbook_command

pytestmark = pytest.mark.timeout(2_500)
STORY_WITHIN_S = 2_400.0
SAYS_READY_WITHIN_S = 120.0
ENDED_WITHIN_S = 180.0


@pytest.fixture
def processes() -> Iterator[MarkedProcesses]:
    processes = MarkedProcesses()
    yield processes
    processes.end()


def demo(*arguments: str) -> list[str]:
    return rollbook_command("demo", *arguments)


def test_one_version_is_promoted_and_one_rolled_back(processes: MarkedProcesses, tmp_path: Path) -> None:
    report, page = tmp_path / "report.json", tmp_path / "report.html"

    told = subprocess.run(
        demo("--report", str(report), "--html", str(page), "--data-dir", str(tmp_path / "data")),
        env=processes.environment({}),
        capture_output=True,
        text=True,
        timeout=STORY_WITHIN_S,
        check=False,
    )

    assert told.returncode == 0, told.stdout + told.stderr
    assert processes.alive() == []
    evidence: dict[str, Any] = msgspec.json.decode(report.read_bytes())
    assert (evidence["promoted"], evidence["rolled_back"]) == ("digits/2", "digits/3")
    assert (evidence["failed_requests"], evidence["provenance_mismatches"]) == (0, 0)
    assert evidence["provenance_checked"] == evidence["requests"] > 1_000
    assert evidence["decision_to_serving_ms"] > 0
    assert "accuracy" in evidence["reasons"]["digits/3"]
    assert evidence["audit"]["topic_compared"]
    assert str(page) in told.stdout
    assert "<svg" in page.read_text()


def test_ctrl_c_leaves_no_process(processes: MarkedProcesses, tmp_path: Path) -> None:
    output = tmp_path / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(
            demo("--data-dir", str(tmp_path / "data")),
            env=processes.environment({}),
            stdout=file,
            stderr=file,
            cwd=tmp_path,
            start_new_session=True,
        )
    eventually(lambda: "ready after" in output.read_text(), "the stack is ready", within_s=SAYS_READY_WITHIN_S)
    time.sleep(1)  # in the middle of the story, wherever that is

    os.killpg(process.pid, signal.SIGINT)

    assert process.wait(ENDED_WITHIN_S) == 130
    assert processes.alive() == []


def test_a_directory_that_is_there_is_refused(processes: MarkedProcesses, tmp_path: Path) -> None:
    told = subprocess.run(
        demo("--data-dir", str(tmp_path)), env=processes.environment({}), capture_output=True, text=True, check=False
    )

    assert told.returncode != 0
    assert "already exists" in told.stderr
    assert processes.alive() == []


def test_the_story_of_a_language_model_says_how_to_get_vllm(processes: MarkedProcesses, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "python")

    told = subprocess.run(
        demo("--story", "llm", "--data-dir", str(tmp_path / "data")),
        env=processes.environment({"ROLLBOOK_AGENT_VLLM_PYTHON": nowhere}),
        capture_output=True,
        text=True,
        check=False,
    )

    assert told.returncode == 2
    assert nowhere in told.stderr
    assert "./task setup:vllm" in told.stderr
    assert not (tmp_path / "data").exists()
    assert processes.alive() == []
