"""`rollbook status` on what a supervisor wrote, and on what a program says about itself."""

import fcntl
import os
from pathlib import Path

import msgspec
import pytest

from infra.background import Background
from infra.metrics import Metrics
from infra.ports import free_port
from infra.supervisor.status import ProgramStatus, StackStatus, write_status
from tests.support.command_line import CommandLine


def test_work_that_failed_inside_a_program_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    background, metrics, port = Background(), Metrics(), free_port()
    background.show_in(metrics)
    background.failed("capture", ValueError("odd input"))
    judge = ProgramStatus(
        name="judge",
        state="ready",
        pid=os.getpid(),
        addresses=(),
        metrics=f"http://127.0.0.1:{port}/metrics",
        restarts=0,
        since_ms=0,
    )
    (tmp_path / "run").mkdir()
    write_status(tmp_path, StackStatus(state="ready", pid=os.getpid(), since_ms=0, programs=(judge,)))

    command = CommandLine(capsys, "--data-dir", str(tmp_path), "--json")
    lock = tmp_path / "lock"
    lock.write_text(str(os.getpid()))
    # Who holds the lock is the stack that runs.
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with metrics.served(port, host="127.0.0.1"):
            answered = command.type("status")
        away = command.type("status")

    failing = [msgspec.json.decode(typed.out)["programs"][0]["failing"] for typed in (answered, away)]
    assert failing == [["capture"], ["metrics"]]
