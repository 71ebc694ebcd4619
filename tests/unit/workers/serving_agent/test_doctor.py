"""What the doctor says of a host."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from infra.confinement.confine import VARIABLE, Protection
from workers.serving_agent import engine_confinement
from workers.serving_agent.doctor import examine, main
from workers.serving_agent.instance_book import InstanceBook, InstanceRecord
from workers.serving_agent.reconcile import Slot


@pytest.fixture(autouse=True)
def newest_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel_of(monkeypatch)


def kernel_of(monkeypatch: pytest.MonkeyPatch, **lacks: bool) -> None:
    able = Protection(**{name: lacks.get(name, True) for name in ("files", "ports", "signals", "calls")})
    monkeypatch.setattr(engine_confinement, "protection_of_this_host", lambda: able)


def said(data_dir: Path, **variables: str) -> list[tuple[bool, str]]:
    return [(each.is_good, each.says) for each in examine(data_dir, variables)]


def test_a_host_that_protects_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("ok       engines that start now reach only their own model")


@pytest.mark.parametrize(
    ("lack", "says"),
    [("files", "Landlock"), ("ports", "6.7"), ("signals", "6.12"), ("calls", "filter of system calls")],
)
def test_what_a_kernel_cannot_do_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lack: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel_of(monkeypatch, **{lack: False})

    assert main(["--data-dir", str(tmp_path)]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("missing  ")
    assert says in line


def test_a_data_directory_among_the_libraries_is_named() -> None:
    (found,) = said(Path(sys.prefix) / "data")

    assert found == (
        False,
        f"the data directory {sys.prefix}/data is inside {sys.prefix}, which engines need to read; move it",
    )


def test_secrets_that_others_may_read_are_named(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir(mode=0o700)
    (secrets / "admin.token").write_text("x")
    (secrets / "admin.token").chmod(0o644)

    assert said(tmp_path)[1:] == [
        (False, f"other users may open {secrets}/admin.token; run: chmod go-rwx {secrets}/admin.token")
    ]
    (secrets / "admin.token").chmod(0o600)
    assert said(tmp_path)[1:] == [(True, f"only their owner reads the files in {secrets}")]


def test_each_running_engine_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "agent" / "local").mkdir(parents=True)
    book = InstanceBook(tmp_path / "agent" / "local" / "instances.json")
    environ = {**os.environ, VARIABLE: '{"starts_programs":true}'}
    waiting = ["/bin/sleep", "600"]
    free = subprocess.Popen(waiting)
    confined = subprocess.Popen([sys.executable, "-P", "-m", "infra.confinement", *waiting], env=environ)
    try:
        while psutil.Process(confined.pid).name() != "sleep":
            assert confined.poll() is None
        for number, process in enumerate((free, confined)):
            book.put(
                InstanceRecord(
                    slot=Slot("deployment-1", number),
                    endpoint_id="endpoint-1",
                    instance_id=f"instance-{number}",
                    port=1_024 + number,
                    boot_id="boot-1",
                    pid=process.pid,
                    process_started_at=psutil.Process(process.pid).create_time(),
                    is_confined=process is confined,
                )
            )

        assert [is_good for is_good, _ in said(tmp_path)] == [True, False, True]
    finally:
        for process in (free, confined):
            process.kill()
            process.wait()


def test_a_malformed_variable_of_the_agent_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ROLLBOOK_AGENT_ENGINE_CONFINEMENT", "perhaps")

    assert main(["--data-dir", str(tmp_path)]) == 1
    assert "ROLLBOOK_AGENT_ENGINE_CONFINEMENT" in capsys.readouterr().err
