"""The worked example of `docs/how_to/add_a_feature.md`, applied to a copy of the repository."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs/how_to/add_a_feature.md"
EXAMPLE = ROOT / "docs/how_to/add_a_feature"
MAX_FILES = 18
GENERATORS = (
    ("-m", "schemas.generate"),
    ("-m", "control_plane.describe"),
    ("clients/sdk/generate.py",),
    ("-m", "tests.golden.write_missing"),
    ("-m", "tests.architecture.reference_pages"),
)
TESTS = (
    "tests/unit/control_plane/maintenance",
    "tests/integration/api/test_maintenance.py",
    "tests/integration/projections/test_downtime.py",
    "tests/golden/test_catalogue_rows.py",
    "tests/golden/test_events.py",
)
METHODS = ("announce", "begin", "end", "get", "list", "downtime")
_TIMEOUT_S = 280
_LISTED = re.compile(r"^\| `(?P<path>[^`]+)` \|", re.MULTILINE)
_METHOD = re.compile(r"^    (?:async )?def (\w+)", re.MULTILINE)


class Applied(msgspec.Struct, frozen=True):
    """A copy of the repository with the example in it, and which of its files were written by whom."""

    folder: Path
    by_hand: set[str]
    generated: set[str]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        paths = os.pathsep.join((str(self.folder), str(self.folder / "clients/sdk")))
        return _run(sys.executable, *arguments, folder=self.folder, PYTHONPATH=paths)


@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Applied:
    folder = tmp_path_factory.mktemp("repository")
    _copy_tracked_files(folder)
    before = _digests(folder)
    shutil.copytree(EXAMPLE / "files", folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    # Inside another repository git would leave out what lies outside of its folder.
    patch = str(EXAMPLE / "edits.patch")
    edited = _run("git", "apply", patch, folder=folder, GIT_CEILING_DIRECTORIES=str(folder.parent))
    assert edited.returncode == 0, edited.stderr
    written = _digests(folder)
    copy = Applied(folder, _changed(before, written), set())
    for generator in GENERATORS:
        done = copy.run(*generator)
        assert done.returncode == 0, done.stderr
    return msgspec.structs.replace(copy, generated=_changed(written, _digests(folder)))


def test_the_page_lists_the_files_that_the_example_touches(applied: Applied) -> None:
    assert _listed_below("## The files") == sorted(applied.by_hand)
    assert _listed_below("## What is generated") == sorted(applied.generated)


def test_a_feature_is_few_files(applied: Applied) -> None:
    with_content = {name for name in applied.by_hand if (applied.folder / name).stat().st_size}

    assert {Path(name).name for name in applied.by_hand - with_content} == {"__init__.py"}
    assert len(with_content) <= MAX_FILES


@pytest.mark.parametrize("module", ["_async", "_sync"])
def test_the_client_has_its_methods(applied: Applied, module: str) -> None:
    source = (applied.folder / f"clients/sdk/rollbook/{module}/operations.py").read_text(encoding="utf-8")
    (own,) = re.findall(r"^class (?:Async)?Maintenance:\n(.*?)(?=^class )", source, re.MULTILINE | re.DOTALL)

    assert set(METHODS) <= set(_METHOD.findall(own))
    assert "self.maintenance = " in source


def test_the_example_is_written_as_the_rest(applied: Applied) -> None:
    sources = [name for name in sorted(applied.by_hand) if name.endswith(".py")]

    checked = applied.run("-m", "ruff", "check", "--no-cache", *sources)
    formatted = applied.run("-m", "ruff", "format", "--no-cache", "--check", *sources)

    assert (checked.returncode, formatted.returncode) == (0, 0), checked.stdout + formatted.stdout


def test_its_own_tests_pass(applied: Applied) -> None:
    done = applied.run("-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *TESTS)

    assert done.returncode == 0, done.stdout


def _run(*command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    # What this run of pytest set for its own workers is none of the inner one's business.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        command,
        cwd=folder,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT_S,
    )


def _copy_tracked_files(folder: Path) -> None:
    listed = _run("git", "ls-files", "-z", folder=ROOT)
    assert listed.returncode == 0, listed.stderr
    for name in filter(None, listed.stdout.split("\0")):
        source = ROOT / name
        if source.is_file() and EXAMPLE not in source.parents:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


def _digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def _changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name, digest in after.items() if before.get(name) != digest}


def _listed_below(heading: str) -> list[str]:
    _, found, rest = PAGE.read_text(encoding="utf-8").partition(f"{heading}\n")
    assert found
    return sorted(match["path"] for match in _LISTED.finditer(rest.partition("\n## ")[0]))
