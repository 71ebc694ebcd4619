"""The second chance of `.ci/run`, over a small project of its own whose verb runs the real pytest."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SECOND_CHANCE = Path(__file__).parents[3] / ".ci/second_chance.py"
VERB = """#!/bin/sh
cd "$(dirname "$0")" && exec .venv/bin/python -m pytest -p no:randomly tests
"""
PASSES = "def test_passes():\n    pass\n"
FAILS = "def test_fails():\n    raise AssertionError\n"
FAILS_ONCE = """
from pathlib import Path

def test_fails_once():
    seen = Path(__file__).with_suffix(".seen")
    if not seen.exists():
        seen.touch()
        raise AssertionError
"""


STORY_IS_TOLD_THE_SECOND_TIME = """
from pathlib import Path

import pytest

@pytest.fixture(scope="module")
def story():
    seen = Path(__file__).with_suffix(".seen")
    if not seen.exists():
        seen.touch()
        raise AssertionError

@pytest.mark.parametrize("number", range(3))
def test_sees_it(story, number):
    pass
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    scripts = {"task": VERB, ".venv/bin/python": f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'}
    for name, text in scripts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / ".ci").mkdir()
    shutil.copy(SECOND_CHANCE, tmp_path / ".ci")
    return tmp_path


def run(project: Path, **tests: str) -> tuple[int, str]:
    """Write each test, named `folder__name`, run the verb under the second chance, return its status and output."""
    for name, text in tests.items():
        folder, _, stem = name.partition("__")
        path = project / f"tests/{folder}/test_{stem}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    command = [sys.executable, ".ci/second_chance.py", "test"]
    ended = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, timeout=180)
    return ended.returncode, ended.stdout


def test_a_test_that_passes_the_second_time_is_named_and_the_run_passes(project: Path) -> None:
    status, printed = run(project, unit__a=PASSES, integration__b=FAILS_ONCE)

    assert status == 0
    assert "FLAKY tests/integration/test_b.py::test_fails_once" in printed.splitlines()


def test_a_test_that_fails_twice_fails_the_run(project: Path) -> None:
    status, printed = run(project, integration__a=FAILS_ONCE, integration__b=FAILS)

    assert (status, "FLAKY" in printed) == (1, False)


def test_a_story_that_is_told_the_second_time_is_one_failure(project: Path) -> None:
    status, printed = run(project, acceptance__a=STORY_IS_TOLD_THE_SECOND_TIME)

    assert status == 0
    assert [line for line in printed.splitlines() if line.startswith("FLAKY")] == [
        f"FLAKY tests/acceptance/test_a.py::test_sees_it[{number}]" for number in range(3)
    ]


def test_a_run_that_ends_without_a_failed_test_is_not_repeated(project: Path) -> None:
    run(project, integration__a=FAILS)
    (project / "task").write_text("#!/bin/sh\nexit 1\n")

    status, _printed = run(project, integration__a=PASSES)

    assert status == 1


@pytest.mark.parametrize(
    ("failed", "reason"),
    [
        (["tests/integration/a.py::a", "tests/acceptance/b.py::b"], None),
        (["tests/extras/a.py::a"], None),
        ([f"tests/acceptance/a.py::{name}" for name in "abcdefg"] + ["tests/integration/a.py::a"], None),
        ([f"tests/acceptance/{name}.py::a" for name in "abc"], "3 tests failed"),
        (["tests/integration/a.py::a"] * 3, "3 tests failed"),
        (["tests/integration/a.py::a", "tests/unit/b.py::b"], "tests/unit/b.py::b has no neighbour"),
        (["tests/contracts/a.py::a"], "has no neighbour"),
        (["tests/golden/a.py::a"], "has no neighbour"),
        (["tests/architecture/a.py::a"], "has no neighbour"),
        ([], "without naming a failed test"),
    ],
)
def test_only_one_or_two_failures_beside_real_neighbours_are_run_again(failed: list[str], reason: str | None) -> None:
    spec = importlib.util.spec_from_file_location("second_chance", SECOND_CHANCE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    refusal = module.reason_against(failed)

    assert (refusal is None) == (reason is None)
    assert (reason or "") in (refusal or "")
