"""Runs the tests again and again beside busy loops, and lists each test that did not pass every time.

`python .ci/stability.py --runs 3 [PYTEST ARGUMENTS]`. Ends with 1 where a test is listed.
"""

import argparse
import multiprocessing
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree as ET

_BAD = ("failure", "error")
_TESTS_RAN = (0, 1)


def main(argv: list[str] | None = None) -> int:
    """Run, then list."""
    parser = argparse.ArgumentParser(
        prog="./task test:stability --", description="Find flaky tests.", allow_abbrev=False
    )
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="how often (default: %(default)s)")
    parser.add_argument("--busy", type=int, default=2, metavar="N", help="busy loops beside it (default: %(default)s)")
    parsed, arguments = parser.parse_known_args(argv)
    failures: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder, _busy_loops(parsed.busy):
        for number in range(1, parsed.runs + 1):
            results = Path(folder, f"{number}.xml")
            command = [sys.executable, "-m", "pytest", f"--junitxml={results}", *arguments]
            ended = subprocess.run(command, check=False)
            if ended.returncode not in _TESTS_RAN or not results.exists():
                print(f"stability: run {number} ended with {ended.returncode}, not with the results of tests")
                return 2
            bad = not_passed(results)
            failures.update(bad)
            print(f"stability: run {number} of {parsed.runs}: {len(bad)} did not pass", flush=True)
    for test, count in failures.most_common():
        print(f"{count} of {parsed.runs}  {test}")
    print(f"stability: {len(failures)} tests did not pass each time")
    return 1 if failures else 0


def not_passed(results: Path) -> list[str]:
    """Return the tests of a JUnit file that failed or ended in an error; skipped ones are not among them."""
    cases = ET.parse(results).getroot().iter("testcase")  # noqa: S314  pytest's own file
    return [
        f"{case.get('classname')}::{case.get('name')}"
        for case in cases
        if any(case.find(one) is not None for one in _BAD)
    ]


@contextmanager
def _busy_loops(count: int) -> Iterator[None]:
    loops = [multiprocessing.Process(target=_spin, daemon=True) for _ in range(count)]
    for loop in loops:
        loop.start()
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.join()


def _spin() -> None:
    while True:
        pass


if __name__ == "__main__":
    sys.exit(main())
