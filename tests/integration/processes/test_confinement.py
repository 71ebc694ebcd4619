"""What a confined process still can, on this kernel."""

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from infra.confinement.confine import VARIABLE, Confinement, confine, confine_as_told, protection_of_this_host
from infra.errors import CannotStartError
from infra.ports import free_port

pytestmark = pytest.mark.skipif(
    not protection_of_this_host().is_whole, reason="this kernel cannot confine processes as a whole"
)


def outcome_in(given: Confinement, attempt: Callable[[], object]) -> str:
    """Make an attempt in a confined fork of this process, and return "done" or the name of its error."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            confine(given, {})
            attempt()
            text = "done"
        except OSError as error:
            text = errno.errorcode[error.errno or 0]
        except BaseException as error:  # noqa: BLE001  the test reads what it was
            text = repr(error)
        os.write(writing, text.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        text = told.read()
    os.waitpid(pid, 0)
    return text


def test_only_named_files_are_opened(tmp_path: Path) -> None:
    for name in ("read", "write", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")
    given = Confinement(reads=(str(tmp_path / "read"), str(tmp_path / "missing")), writes=(str(tmp_path / "write"),))

    assert outcome_in(given, (tmp_path / "read" / "file").read_text) == "done"
    assert outcome_in(given, lambda: (tmp_path / "read" / "file").write_text("y")) == "EACCES"
    assert outcome_in(given, lambda: (tmp_path / "write" / "new").write_text("y")) == "done"
    assert outcome_in(given, (tmp_path / "other" / "file").read_text) == "EACCES"
    assert outcome_in(given, lambda: list(tmp_path.iterdir())) == "EACCES"


def test_what_others_read_holds_nothing_that_blocks_or_leads_elsewhere(tmp_path: Path) -> None:
    written = Confinement(writes=(str(tmp_path),))
    scratch = Confinement(scratch=(str(tmp_path),))

    assert outcome_in(written, lambda: os.mkfifo(tmp_path / "pipe")) == "EACCES"
    assert outcome_in(written, lambda: (tmp_path / "link").symlink_to("/etc")) == "EACCES"
    assert outcome_in(scratch, lambda: os.mkfifo(tmp_path / "pipe")) == "done"
    assert outcome_in(scratch, lambda: (tmp_path / "link").symlink_to("/etc")) == "done"


def test_only_named_ports_are_used() -> None:
    mine, other = free_port(), free_port()
    given = Confinement(listens=(mine,))
    with socket.create_server(("127.0.0.1", other)) as server:
        there = server.getsockname()

        assert outcome_in(given, lambda: socket.create_server(("127.0.0.1", mine))) == "done"
        assert outcome_in(given, lambda: socket.create_server(("127.0.0.1", 0))) == "EACCES"
        assert outcome_in(given, lambda: socket.create_connection(there, timeout=60)) == "EACCES"
        connecting = Confinement(connects=(other,))
        assert outcome_in(connecting, lambda: socket.create_connection(there, timeout=60)) == "done"


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_RAW])
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_there_are_no_other_sockets_of_the_network(family: socket.AddressFamily, kind: socket.SocketKind) -> None:
    assert outcome_in(Confinement(), lambda: socket.socket(family, kind)) == "EACCES"
    assert outcome_in(Confinement(), socket.socketpair) == "done"


def test_programs_start_only_where_they_may() -> None:
    def start() -> None:
        subprocess.run(["/bin/true"], check=True, timeout=60)

    assert outcome_in(Confinement(), start) == "EPERM"
    assert outcome_in(Confinement(starts_programs=True), start) == "done"


def test_no_privilege_is_left() -> None:
    def look() -> None:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        lines = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert int(lines["CapEff"], 16) == int(lines["CapPrm"], 16) == int(lines["CapAmb"], 16) == 0
        assert (lines["NoNewPrivs"], lines["Seccomp"]) == ("1", "2")
        assert int(Path("/proc/self/oom_score_adj").read_text()) >= 500

    assert outcome_in(Confinement(), look) == "done"


def test_a_second_thread_keeps_a_process_from_being_taken_for_confined() -> None:
    program = (
        "import threading, time\n"
        "from infra.confinement.confine import confine, Confinement\n"
        "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
        "confine(Confinement(), {})\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60)

    assert "cannot be confined while 2 threads run" in ended.stderr


def test_a_malformed_variable_is_refused() -> None:
    with pytest.raises(CannotStartError, match=VARIABLE):
        confine_as_told({VARIABLE: "{"})


def test_a_wrapped_program_is_confined(tmp_path: Path) -> None:
    told = msgspec.json.encode(Confinement(reads=("/usr", "/bin"), starts_programs=True)).decode()
    (tmp_path / "secret").write_text("x")

    ended = subprocess.run(
        [sys.executable, "-P", "-m", "infra.confinement", "/bin/cat", str(tmp_path / "secret")],
        env={**os.environ, VARIABLE: told},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert "Permission denied" in ended.stderr
    assert ended.stdout == ""
