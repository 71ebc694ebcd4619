"""How the runtime's process starts and ends."""

import json
import subprocess
import sys
from pathlib import Path

from infra.errors import EXIT_CANNOT_START
from serving.runtime.manifest import ARTIFACT_NAME
from tests.support.engine_process import CAPTURE, launched, running, write_model

DEADLINE_S = 200


def test_without_a_capture_policy_no_engine_starts(tmp_path: Path) -> None:
    write_model(tmp_path / "model", artifact_format="onnx")
    (tmp_path / CAPTURE).unlink()

    with launched(tmp_path) as engine:
        assert engine.process.wait(DEADLINE_S) == EXIT_CANNOT_START

    assert "does not hold a capture policy" in engine.log.read_text()


def test_the_runtime_ends_with_the_process_that_it_watches(tmp_path: Path) -> None:
    write_model(tmp_path / "model", artifact_format="onnx")
    watched = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        with running(tmp_path, environ={"ROLLBOOK_RUNTIME_WATCH_PID": str(watched.pid)}) as engine:
            watched.kill()
            watched.wait()

            assert engine.process.wait(DEADLINE_S) == 0
    finally:
        watched.kill()
        watched.wait()


def test_a_killed_runtime_leaves_no_temporary_file(tmp_path: Path) -> None:
    write_model(tmp_path / "model", artifact_format="skops")
    # Too long for the address of a Unix socket, too.
    temporary = tmp_path / ("long" * 30)
    temporary.mkdir()

    with running(tmp_path, environ={"TMPDIR": str(temporary)}) as engine:
        engine.process.kill()
        engine.process.wait()

    assert list(temporary.iterdir()) == []


def test_a_model_that_cannot_be_loaded_leaves_its_reason(tmp_path: Path) -> None:
    write_model(tmp_path / "model", artifact_format="skops")
    (tmp_path / "model" / ARTIFACT_NAME).write_bytes(b"no model")

    with launched(tmp_path) as engine:
        assert engine.process.wait(DEADLINE_S) == EXIT_CANNOT_START

    failure = json.loads((engine.spool / "failure.json").read_text())
    assert failure["code"] == "artifact-malformed"


def test_a_directory_without_manifest_is_one_clear_sentence(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()

    with launched(tmp_path) as engine:
        assert engine.process.wait(DEADLINE_S) == EXIT_CANNOT_START

    assert "is not a manifest" in engine.log.read_text()
