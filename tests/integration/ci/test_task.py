"""The first run of `task`: the real pip of a bare Python, and a folder of small wheels as the registry."""

import hashlib
import re
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

TASK = Path(__file__).parents[3] / "task"
# The interpreter below this environment, which has no pip of its own.
PYTHON = Path(sys.base_prefix, "bin/python3").resolve()
PROGRAM = '#!/bin/sh\necho "$(basename "$0") got $*"\nenv\n'
WITHOUT_PIP = """
import importlib.util, runpy, sys
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name in {hidden} else find_spec(name)
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a folder with `task` alone, which trusts the wheels in `wheels/` and no others."""
    text = TASK.read_text()
    (tmp_path / "wheels").mkdir()
    for project, program in (("uv", "uv"), ("go_task_bin", "task")):
        pinned = re.search(rf'"{project.replace("_", "-")}",\n    "([\d.]+)"', text)
        assert pinned
        wheel = write_wheel(tmp_path / "wheels", project, version=pinned[1], program=program)
        text = text.replace(first_hash(text, after=pinned.end()), hashlib.sha256(wheel.read_bytes()).hexdigest())
    (tmp_path / "task").write_text(text)
    return tmp_path


@pytest.fixture
def installed(clone: Path) -> Path:
    """Return such a folder after a first run."""
    for wheel in clone.glob("wheels/*"):
        project, version, *_ = wheel.name.split("-")
        program = clone / f".tools/{project}-{version}" / project.removeprefix("go_").removesuffix("_bin")
        program.parent.mkdir(parents=True)
        program.write_text(PROGRAM)
        program.chmod(0o755)
    return clone


def first_hash(text: str, *, after: int) -> str:
    found = re.compile(r"[0-9a-f]{64}").search(text, after)
    assert found
    return found[0]


def write_wheel(folder: Path, project: str, *, version: str, program: str) -> Path:
    name = f"{project}-{version}"
    path = folder / f"{name}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        script = zipfile.ZipInfo(f"{name}.data/scripts/{program}")
        script.external_attr = 0o100755 << 16
        wheel.writestr(script, PROGRAM)
        wheel.writestr(f"{name}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n")
        wheel.writestr(f"{name}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{name}.dist-info/RECORD", "")
    return path


def run(
    clone: Path, *arguments: str, hidden: tuple[str, ...] = (), variables: Mapping[str, str] = {}
) -> tuple[int, str, str]:
    """Run `task`, from the folder of wheels, with no uv on PATH and no configuration but these variables."""
    environment = {
        "HOME": str(clone),
        "PATH": "/usr/bin:/bin",
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_FIND_LINKS": str(clone / "wheels"),
        "PIP_NO_INDEX": "1",
        "PIP_RETRIES": "0",
        **variables,
    }
    script = ["-c", WITHOUT_PIP.format(hidden=hidden), "task"] if hidden else ["task"]
    ended = subprocess.run(
        [PYTHON, *script, *arguments],
        cwd=clone,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    return ended.returncode, ended.stdout, ended.stderr


def test_the_pinned_programs_are_installed_once_and_get_the_verb(clone: Path) -> None:
    contradictions_of_a_target = {"PIP_USER": "1", "PIP_REQUIRE_VIRTUALENV": "1"}

    status, printed, errors = run(clone, "demo", "--", "--keep", variables=contradictions_of_a_target)

    assert status == 0, errors
    assert f"task got --taskfile {clone}/Taskfile.yml demo -- --keep" in printed
    assert errors.count("fetching") == 2
    assert run(clone, "demo")[2] == ""


def test_pip_and_uv_share_what_is_configured_for_pip(installed: Path) -> None:
    settings = (
        "[global]\nproxy = http://proxy.test:1\n[install]\nindex-url = https://mirror.test/simple/\ncert = /c.pem\n"
    )
    (installed / "pip.conf").write_text(settings)

    printed = run(installed, "demo", variables={"PIP_CONFIG_FILE": str(installed / "pip.conf")})[1].splitlines()

    assert "UV_DEFAULT_INDEX=https://mirror.test/simple" in printed
    assert "SSL_CERT_FILE=/c.pem" in printed
    assert "HTTPS_PROXY=http://proxy.test:1" in printed


@pytest.mark.parametrize("variable", ["UV_DEFAULT_INDEX", "UV_INDEX_URL"])
def test_the_registry_of_uv_wins_over_that_of_pip(installed: Path, variable: str) -> None:
    variables = {variable: "mirror=https://uv.test/simple", "PIP_INDEX_URL": "https://pip.test/simple"}

    printed = run(installed, "demo", variables=variables)[1].splitlines()

    assert "UV_DEFAULT_INDEX=https://uv.test/simple" in printed
    assert "PIP_INDEX_URL=https://uv.test/simple" in printed


def test_the_configuration_file_of_uv_names_the_registry(installed: Path) -> None:
    (installed / ".config/uv").mkdir(parents=True)
    (installed / ".config/uv/uv.toml").write_text('[[index]]\nurl = "https://uv.test/simple"\ndefault = true\n')

    printed = run(installed, "demo")[1].splitlines()

    assert "PIP_INDEX_URL=https://uv.test/simple" in printed


def test_programs_keep_their_bytecode_whatever_the_caller_has_set(installed: Path) -> None:
    printed = run(installed, "demo", variables={"PYTHONDONTWRITEBYTECODE": "1"})[1]

    assert "task got" in printed
    assert "PYTHONDONTWRITEBYTECODE" not in printed


def test_a_wheel_with_another_hash_is_refused(clone: Path) -> None:
    for wheel in (clone / "wheels").glob("uv-*"):
        wheel.write_bytes(wheel.read_bytes() + b" ")

    status, _, errors = run(clone, "demo")

    assert status == 1
    assert "DO NOT MATCH THE HASHES" in errors
    assert re.search(r"^task: uv [\d.]+ could not be installed from .*: .* set PIP_INDEX_URL", errors, re.MULTILINE)
    assert not list(clone.glob(".tools/uv-*/*"))


def test_a_registry_that_cannot_be_reached_is_named_without_its_password(clone: Path) -> None:
    index = "http://someone:secret@127.0.0.1:1/simple"

    status, _, errors = run(
        clone, "demo", variables={"PIP_NO_INDEX": "0", "PIP_FIND_LINKS": "", "PIP_INDEX_URL": index}
    )

    assert status == 1
    assert "could not be installed from http://127.0.0.1:1/simple" in errors
    assert "secret" not in errors


def test_a_python_without_pip_brings_it_along_in_ensurepip(clone: Path) -> None:
    status, printed, errors = run(clone, "demo", hidden=("pip",))

    assert status == 0, errors
    assert "task got" in printed


def test_a_python_without_pip_and_ensurepip_is_told_which_package_brings_it(clone: Path) -> None:
    status, _, errors = run(clone, "demo", hidden=("pip", "ensurepip"))

    assert status == 1
    assert errors.splitlines()[-1].startswith("task: this Python has no pip: install it")
