"""What a failed test prints, over a small project of its own with the real pytest."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
TESTS = """
import subprocess
import sys

import pytest

@pytest.fixture(scope="session")
def log(tmp_path_factory):
    path = tmp_path_factory.mktemp("program") / "program.log"
    path.write_text("started\\n")
    return path

def say(log, line):
    with log.open("ab") as output:
        subprocess.run([sys.executable, "-c", f"print({line!r})"], stdout=output, check=True)

def test_first(log, tmp_path):
    (tmp_path / "other.log").write_text("of another test\\n")
    say(log, "why the first failed")
    for number in range(30):
        (tmp_path / f"{number:03}.log").write_bytes(b"\\0 a segment of a topic")
    assert False

def test_second(log):
    say(log, "nothing special")
"""


def test_a_failed_test_prints_the_end_of_the_logs_that_grew_while_it_ran(tmp_path: Path) -> None:
    (tmp_path / "test_them.py").write_text(TESTS)
    command = [
        "-m",
        "pytest",
        "-p",
        "tests.support.program_logs",
        "-p",
        "no:randomly",
        f"--basetemp={tmp_path / 'base'}",
    ]

    ended = subprocess.run(
        [sys.executable, *command, f"--rootdir={tmp_path}", str(tmp_path)],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )

    assert "1 failed, 1 passed" in ended.stdout
    assert "why the first failed" in ended.stdout
    assert "of another test" in ended.stdout
    assert "nothing special" not in ended.stdout
    assert "test_first0/other.log" in ended.stdout
    assert "test_first0/000.log" not in ended.stdout
