from collections.abc import Sequence
from pathlib import Path

import pytest

from infra.errors import CannotStartError
from infra.kafka.class_archive import class_archive

DUMPS = '#!/bin/sh\nfor each in "$@"; do case "$each" in -XX:SharedArchiveFile=*) echo x > "${each#*=}";; esac; done\n'


class Runs:
    """Stands for the run of a node: at its end it writes the archive that its options ask for."""

    def __init__(self) -> None:
        self.options: list[list[str]] = []

    def __call__(self, options: Sequence[str], folder: Path) -> None:
        assert folder.is_dir()
        self.options.append(list(options))
        (made,) = (Path(option.partition("=")[2]) for option in options if "ArchiveClassesAtExit" in option)
        made.write_bytes(b"classes")


@pytest.fixture
def jars(tmp_path: Path) -> Path:
    jars = tmp_path / "cache" / "jars"
    jars.mkdir(parents=True)
    return jars


def a_java(folder: Path, script: str) -> Path:
    folder.mkdir()
    java = folder / "java"
    java.write_text(script)
    java.chmod(0o755)
    return java


def test_an_archive_is_made_once_and_read_by_each_start(tmp_path: Path, jars: Path) -> None:
    java, runs = a_java(tmp_path / "bin", DUMPS), Runs()

    first, second = class_archive(java, jars, runs), class_archive(java, jars, runs)

    assert first == second
    (option,) = first
    assert Path(option.removeprefix("-XX:SharedArchiveFile=")).read_bytes() == b"classes"
    assert len(runs.options) == 1
    platform = Path(runs.options[0][0].removeprefix("-XX:SharedArchiveFile="))
    assert platform.exists()
    assert not list(jars.parent.glob(".archiving-*"))


def test_another_java_gets_an_archive_of_its_own(tmp_path: Path, jars: Path) -> None:
    runs = Runs()

    first = class_archive(a_java(tmp_path / "one", DUMPS), jars, runs)
    second = class_archive(a_java(tmp_path / "two", DUMPS), jars, runs)

    assert first != second
    assert len(runs.options) == 2


def test_a_java_that_cannot_make_one_runs_without_and_is_not_asked_again(tmp_path: Path, jars: Path) -> None:
    asked = tmp_path / "asked"
    java, runs = a_java(tmp_path / "bin", f"#!/bin/sh\necho once >> {asked}\nexit 1\n"), Runs()

    assert [class_archive(java, jars, runs) for _ in range(2)] == [[], []]

    assert asked.read_text() == "once\n"
    assert runs.options == []


def test_a_node_that_does_not_become_ready_leaves_no_archive(tmp_path: Path, jars: Path) -> None:
    java, tries = a_java(tmp_path / "bin", DUMPS), []

    def never_ready(options: Sequence[str], folder: Path) -> None:
        tries.append(options)
        raise TimeoutError("the node did not become ready")

    assert [class_archive(java, jars, never_ready) for _ in range(2)] == [[], []]
    assert len(tries) == 1
    assert not list(jars.parent.glob(".archiving-*"))


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), CannotStartError("Kafka's folder cannot be written")]
)
def test_a_full_disk_keeps_no_node_from_its_start(tmp_path: Path, jars: Path, error: Exception) -> None:
    java, runs = a_java(tmp_path / "bin", DUMPS), Runs()

    def full(options: Sequence[str], folder: Path) -> None:
        raise error

    assert class_archive(java, jars, full) == []
    assert len(class_archive(java, jars, runs)) == 1
