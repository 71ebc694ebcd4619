"""A program raises the soft limit of open files, and never lowers one."""

import subprocess
import sys

import pytest

_SHOWN = (
    "import resource, sys; from infra.open_files import raise_open_files_limit;"
    "hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1];"
    "resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), min(hard, int(sys.argv[2]))));"
    "raise_open_files_limit(); print(*resource.getrlimit(resource.RLIMIT_NOFILE))"
)


@pytest.mark.parametrize(("soft", "hard", "expected"), [(256, 4_096, 4_096), (512, 512, 512)])
def test_the_soft_limit_becomes_what_the_hard_one_allows(soft: int, hard: int, expected: int) -> None:
    command = [sys.executable, "-c", _SHOWN, str(soft), str(hard)]

    limits = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    assert limits == [str(expected), str(hard)]
