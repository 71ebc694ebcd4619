"""Runs a verb that ends in pytest. If one or two tests with real neighbours failed, runs each of them once more, alone.

A test that passes then is printed as FLAKY and the run counts as passed: one unlucky test must not keep good work out.
Whoever reads FLAKY fixes that test next. Acceptance tests of one file count as one and run again together: they look at
one story, and fail together if its set-up does. A failure in unit, contract, golden or architecture tests, a third
failure, or a run that ended for another reason than failed tests fails at once.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Where pytest lists the tests that failed in its last run.
LAST_FAILED = ROOT / ".pytest_cache/v/cache/lastfailed"
PYTEST = (str(ROOT / ".venv/bin/python"), "-m", "pytest")
FOLDERS = ("tests/integration/", "tests/acceptance/", "tests/extras/")
STORIES = "tests/acceptance/"
MAX_RETRIED = 2
TESTS_FAILED = 1


def main(verb: list[str]) -> int:
    LAST_FAILED.unlink(missing_ok=True)
    # go-task answers 201 for any failed command unless it is asked for the command's own exit code.
    status = subprocess.run([ROOT / "task", "--exit-code", *verb], check=False).returncode
    if status != TESTS_FAILED:
        return status
    failed = list(json.loads(LAST_FAILED.read_text(encoding="utf-8"))) if LAST_FAILED.exists() else []
    if refusal := reason_against(failed):
        print(f"ci: no second chance: {refusal}")
        return status
    for tests in failures(failed):
        print(f"ci: second chance for {' '.join(tests)}", flush=True)
        if subprocess.run([*PYTEST, *tests], cwd=ROOT, check=False).returncode:
            print(f"ci: failed twice: {' '.join(tests)}")
            return status
    for test in failed:
        print(f"FLAKY {test}")
    return 0


def failures(failed: list[str]) -> list[list[str]]:
    """Return the failed tests that are one failure together."""
    together: dict[str, list[str]] = {}
    for number, test in enumerate(failed):
        story = test.partition("::")[0] if test.startswith(STORIES) else str(number)
        together.setdefault(story, []).append(test)
    return list(together.values())


def reason_against(failed: list[str]) -> str | None:
    """Return why these failed tests are not run again, or None if they are."""
    if not failed:
        return "the run ended without naming a failed test"
    if (count := len(failures(failed))) > MAX_RETRIED:
        return f"{count} tests failed, at most {MAX_RETRIED} are run again"
    strict = next((test for test in failed if not test.startswith(FOLDERS)), None)
    return f"{strict} has no neighbour that could explain a chance failure" if strict else None


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main(sys.argv[1:]))
