"""Each command of the runbook, typed as it stands on a stack with an endpoint `digits`."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.digits_service import DigitsService, serve_digits
from tests.support.stack import RunningStack

RUNBOOK = Path(__file__).parents[2] / "docs" / "how_to" / "runbook.md"
_FENCE = re.compile(r"^```sh\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = [match["code"] for match in _FENCE.finditer(RUNBOOK.read_text(encoding="utf-8"))]

pytestmark = pytest.mark.timeout(1_200)


@pytest.fixture(scope="module")
def service(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DigitsService]:
    with stack.client() as rollbook:
        yield serve_digits(stack, rollbook, "digits", directory=tmp_path_factory.mktemp("runbook"))


def test_the_runbook_has_commands() -> None:
    assert len(BLOCKS) > 10


@pytest.mark.parametrize("commands", BLOCKS, ids=[block.splitlines()[-1][:40] for block in BLOCKS])
def test_the_commands_work_as_they_stand(commands: str, service: DigitsService) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environ = {**os.environ, "PATH": path, "ROLLBOOK_DATA_DIR": str(service.stack.data_dir)}

    done = subprocess.run(
        ["bash", "-eu", "-c", commands], env=environ, capture_output=True, text=True, timeout=200, check=False
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
