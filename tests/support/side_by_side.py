"""A pytest plugin: which tests one worker of pytest-xdist runs in a row.

Those of a package share a neighbour, such as a Kafka node, that starts with the first and ends with the last of them;
elsewhere a file is enough. The stories of whole stacks are one package, as each of them fills a small machine. (The
marks of `--dist loadgroup` have no effect with pytest 9.2.)
"""

from functools import cache
from pathlib import Path, PurePosixPath

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).parents[2]


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist is typed in part
    """Gives a worker one package or one file after the other, in the order of the collection."""

    def _split_scope(self, nodeid: str) -> str:
        return scope(nodeid.partition("::")[0])


@cache
def scope(file: str) -> str:
    """Return the package of a test's file, or the file where its folder is none."""
    folder = PurePosixPath(file).parent
    return str(folder) if (ROOT / folder / "__init__.py").exists() else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    return Scheduling(config, log)
