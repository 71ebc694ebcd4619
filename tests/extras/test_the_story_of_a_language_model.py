"""The demo's story of a language model, as a newcomer starts it: judged by its loss, on vLLM itself."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.stack import MarkedProcesses, rollbook_command

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2_400), pytest.mark.usefixtures("vllm_python")]
STORY_WITHIN_S = 2_300.0


@pytest.fixture
def processes() -> Iterator[MarkedProcesses]:
    processes = MarkedProcesses()
    yield processes
    processes.end()


def test_the_better_language_model_is_promoted_and_the_worse_one_aborted(
    processes: MarkedProcesses, tmp_path: Path
) -> None:
    report, page = tmp_path / "report.json", tmp_path / "report.html"
    files = ["--report", str(report), "--html", str(page), "--data-dir", str(tmp_path / "data")]

    told = subprocess.run(
        rollbook_command("demo", "--story", "llm", *files),
        env=processes.environment({}),
        capture_output=True,
        text=True,
        timeout=STORY_WITHIN_S,
        check=False,
    )

    assert told.returncode == 0, told.stdout + told.stderr
    assert processes.alive() == []
    evidence: dict[str, Any] = msgspec.json.decode(report.read_bytes())
    assert (evidence["promoted"], evidence["rolled_back"]) == ("novelist/2", "novelist/3")
    assert (evidence["failed_requests"], evidence["provenance_mismatches"]) == (0, 0)
    assert "losses over" in evidence["reasons"]["novelist/3"]
    columns = [column["name"] for column in evidence["sql_answer"]["meta"]]
    losses = {
        row[columns.index("version")]: row[columns.index("held_out_loss")] for row in evidence["sql_answer"]["data"]
    }
    assert losses["novelist/2"] < losses["novelist/3"] < losses["novelist/1"]
    assert "<svg" in page.read_text()
