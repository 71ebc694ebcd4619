"""`rollbook up` where it cannot start: one sentence with the remedy, an exit code, and nothing left running."""

import json
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec
import pytest

from tests.support.stack import MarkedProcesses, RunningStack, rollbook_command

pytestmark = pytest.mark.timeout(1_200)
FAILS_WITHIN_S = 120


class Failure(msgspec.Struct, frozen=True):
    """How a start ended."""

    code: int
    sentence: str
    error: str
    left: list[str]


@pytest.fixture
def up() -> Iterator[Callable[..., Failure]]:
    processes = MarkedProcesses()

    def start(data_dir: Path, environment: Mapping[str, str] | None = None) -> Failure:
        finished = subprocess.run(
            rollbook_command("--data-dir", str(data_dir), "up"),
            env=processes.environment(environment or {}),
            capture_output=True,
            text=True,
            check=False,
            timeout=FAILS_WITHIN_S,
        )
        return Failure(finished.returncode, _sentence(finished.stderr), finished.stderr, processes.alive())

    yield start
    processes.end()


def _sentence(error: str) -> str:
    """Return the one reason among the lines of the log; without one, what was said at all."""
    lines = [json.loads(line) for line in error.splitlines() if line.startswith("{")]
    reasons = [line["reason"] for line in lines if line["event"] == "cannot_start"]
    assert len(reasons) == 1, error
    return str(reasons[0])


def assert_ended(failure: Failure) -> None:
    assert failure.code not in {0, None}
    assert failure.left == []
    assert "Traceback" not in failure.error


def test_a_taken_port_is_named(up: Callable[..., Failure], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        failure = up(tmp_path / "data", {"ROLLBOOK_SUPERVISOR_API_PORT": str(port)})

    assert f"port {port}" in failure.sentence
    assert_ended(failure)


def test_a_directory_that_cannot_be_written_is_named(up: Callable[..., Failure], tmp_path: Path) -> None:
    mounted = tmp_path / "read-only"
    mounted.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", mounted], check=False, capture_output=True)
    if mount.returncode:
        mounted.chmod(0o500)

    try:
        failure = up(mounted)
    finally:
        if mount.returncode == 0:
            subprocess.run(["umount", mounted], check=True)

    assert str(mounted) in failure.sentence
    assert "cannot be written" in failure.sentence
    assert_ended(failure)


def test_a_full_disk_is_named(up: Callable[..., Failure], tmp_path: Path) -> None:
    mounted = tmp_path / "small"
    mounted.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", mounted], check=False, capture_output=True)
    if mount.returncode:
        pytest.skip("only root may make a small disk")

    try:
        failure = up(mounted)
    finally:
        subprocess.run(["umount", mounted], check=True)

    assert "MiB free" in failure.sentence
    assert_ended(failure)


def test_a_directory_of_another_format_is_left_alone(up: Callable[..., Failure], tmp_path: Path) -> None:
    (tmp_path / "format").write_text("99\n")

    failure = up(tmp_path)

    assert "format '99'" in failure.sentence
    assert [path.name for path in tmp_path.iterdir()] == ["format"]
    assert_ended(failure)


def test_a_directory_that_belongs_to_something_else_is_left_alone(up: Callable[..., Failure], tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")

    failure = up(tmp_path)

    assert "was not made by Rollbook" in failure.sentence
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    assert_ended(failure)


@pytest.mark.parametrize("answer", ['echo openjdk version \\"11.0.2\\" >&2', "exit 1"])
def test_a_wrong_java_is_named(up: Callable[..., Failure], tmp_path: Path, answer: str) -> None:
    java = tmp_path / "jdk" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\n{answer}\n")
    java.chmod(0o755)

    failure = up(tmp_path / "data", {"JAVA_HOME": str(tmp_path / "jdk")})

    assert "Java" in failure.sentence
    assert "JAVA_HOME" in failure.sentence
    assert_ended(failure)


def test_a_second_stack_on_the_same_directory_is_refused_and_the_first_goes_on(
    up: Callable[..., Failure], stack: RunningStack
) -> None:
    failure = up(stack.data_dir)

    assert "already running" in failure.sentence
    assert_ended(failure)
    assert stack.status.state == "ready"
