"""A pytest plugin: a test that fails prints the last lines of what its programs logged while it ran.

Programs of tests log into files below pytest's temporary directory, so the files that grew during the test are the ones
in question, whichever fixture started the program.
"""

import os
import time
from collections.abc import Generator, Iterator
from itertools import islice
from pathlib import Path

import pytest

_SUFFIXES = (".log", ".out")
_MAX_LINES = 25
_MAX_BYTES = 16_384
_MAX_FILES = 24
_REQUEST_LOGS = "gateway"
"""The folder of a data directory that has a record of each request, of which there are many and no two alike."""
_BEGAN_AT = pytest.StashKey[float]()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    item.stash[_BEGAN_AT] = time.time()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        folder = item.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]  # noqa: SLF001  no public way
        report.sections += ends_of_logs(folder, since=item.stash[_BEGAN_AT])
    return report


def ends_of_logs(folder: Path, *, since: float) -> list[tuple[str, str]]:
    """Return name and last lines of each log that grew since then, the latest first."""
    ends = ((path, _end(path)) for _, path in sorted(_grown(folder, since), reverse=True))
    texts = ((f"log {path.relative_to(folder)}", end) for path, end in ends if end)
    return list(islice(texts, _MAX_FILES))


def _grown(folder: Path, since: float) -> Iterator[tuple[float, Path]]:
    for directory, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != _REQUEST_LOGS]
        for name in names:
            path = Path(directory, name)
            if path.suffix in _SUFFIXES:
                try:
                    status = path.stat()
                except FileNotFoundError:
                    continue
                if status.st_size and status.st_mtime >= since:
                    yield status.st_mtime, path


def _end(path: Path) -> str:
    """Return the last lines of a text; nothing of what is none, such as a segment of a topic."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _MAX_BYTES))
            end = file.read()
    except FileNotFoundError:
        return ""
    return "" if b"\0" in end else "\n".join(end.decode(errors="replace").splitlines()[-_MAX_LINES:])
