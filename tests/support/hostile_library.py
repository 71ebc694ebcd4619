"""What a hostile library does inside an engine: native calls that reach for everything beyond its own model.

A test puts a copy of this file in the place of a library that an engine loads. It uses the standard library alone.
"""

import ctypes
import errno
import json
import mmap
import os
import resource
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

REPORT = "attack.json"
Attempts: TypeAlias = dict[str, Callable[[], object]]

_libc = ctypes.CDLL(None, use_errno=True)
_PTRACE, _READ_MEMORY, _UNSHARE, _FORK = 101, 310, 272, 57
_SEIZE, _INTERRUPT, _DETACH = 0x4206, 0x4207, 17
_ANY_CHILD = 0x40000000
_NEW_NETWORK = 0x40000000
_MPTCP = 262
_GIB = 1024**3


def attack(targets: dict[str, Any]) -> dict[str, str]:
    """Try everything; return for each attempt "done", or the name of the error that stopped it."""
    parent = os.getppid()
    agent = int(Path(f"/proc/{parent}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
    attempts = {
        **_on_what_it_may_use(targets),
        **_on_files(targets),
        **_on_processes(targets, agent=agent, parent=parent),
        **_on_the_network(targets),
        "take the machine's memory": lambda: _allocate(4 * _GIB),
        # Last: where it works, the others would have no network.
        "have a network of its own": lambda: _call(_UNSHARE, _NEW_NETWORK),
    }
    return {name: _outcome(attempt) for name, attempt in attempts.items()}


def _on_what_it_may_use(targets: dict[str, Any]) -> Attempts:
    own = Path(targets["model"])
    return {
        "read its model": (own / "manifest.json").read_bytes,
        "write to its spool": lambda: (Path(targets["spool"]) / "note").write_bytes(b"x"),
        "write to its home": lambda: (Path.home() / "note").write_bytes(b"x"),
        "signal itself": lambda: os.kill(os.getpid(), 0),
    }


def _on_files(targets: dict[str, Any]) -> Attempts:
    own, root = Path(targets["model"]), Path(targets["root"])
    sources = root / "agent" / "local" / "spool" / Path(targets["spool"]).name
    return {
        "read the token": lambda: Path(targets["token"]).read_bytes(),
        "list the data directory": lambda: list(root.iterdir()),
        "read the agent's book": (root / "agent" / "local" / "instances.json").read_bytes,
        "list the models": lambda: list(own.parent.iterdir()),
        "read another model": (own.parent / targets["other"] / "artifact").read_bytes,
        "list the spools": lambda: list(Path(targets["spool"]).parent.iterdir()),
        "list the capture policies": lambda: list((root / "agent" / "local" / "capture").iterdir()),
        "change its model": lambda: (own / "artifact").open("ab"),
        "open the token to others": lambda: Path(targets["token"]).chmod(0o644),
        "change the times of the token": lambda: os.utime(targets["token"]),
        "say whose its spool is": lambda: (sources / "source.json").write_bytes(b"{}"),
        "replace whose its spool is": (sources / "source.json").unlink,
        "fill the disk with one file": lambda: _write_large(Path(targets["spool"]) / "large"),
        "add a module": lambda: (Path(sys.prefix) / "planted.py").write_bytes(b""),
        "link to the token": lambda: (Path(targets["spool"]) / "link").symlink_to(targets["token"]),
        "block whoever reads its spool": lambda: os.mkfifo(Path(targets["spool"]) / "pipe"),
    }


def _on_processes(targets: dict[str, Any], *, agent: int, parent: int) -> Attempts:
    return {
        "read the agent's environment": lambda: Path(f"/proc/{agent}/environ").read_bytes(),
        "read the agent's memory": lambda: Path(f"/proc/{agent}/mem").open("rb").close(),
        "copy the agent's memory": lambda: _call(_READ_MEMORY, agent, None, 0, None, 0, 0),
        "trace the agent": lambda: _trace(agent),
        "signal the agent": lambda: os.kill(agent, 0),
        "signal the fork server": lambda: os.kill(parent, 0),
        "signal the supervisor": lambda: os.kill(targets["supervisor"], 0),
        "limit the agent": lambda: resource.prlimit(agent, resource.RLIMIT_NOFILE),
        "slow the agent down": lambda: os.setpriority(os.PRIO_PROCESS, agent, 0),
        "choose the agent's cores": lambda: os.sched_setaffinity(agent, os.sched_getaffinity(agent)),
        "start a process": _fork,
    }


def _on_the_network(targets: dict[str, Any]) -> Attempts:
    return {
        "call the API": lambda: _connect(targets["api_port"]),
        "post to Kafka": lambda: _connect(targets["kafka_port"]),
        "call the API over IPv6": lambda: _connect(
            targets["api_port"], family=socket.AF_INET6, host="::ffff:127.0.0.1"
        ),
        "call the API over MPTCP": lambda: _connect(targets["api_port"], protocol=_MPTCP),
        "call the API while connecting": lambda: _send_at_once(targets["api_port"]),
        "send a datagram": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9)),
        "listen on another port": lambda: socket.socket().bind(("127.0.0.1", targets["free_port"])),
        "call a program of ours": lambda: _call_abstract(targets["abstract"]),
    }


def _outcome(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, repr(error))
    except MemoryError:
        return "ENOMEM"
    return "done"


def _call(number: int, *arguments: object) -> int:
    result = int(_libc.syscall(number, *arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result


def _trace(pid: int) -> None:
    _call(_PTRACE, _SEIZE, pid, None, None)
    _call(_PTRACE, _INTERRUPT, pid, None, None)
    os.waitpid(pid, _ANY_CHILD)
    _call(_PTRACE, _DETACH, pid, None, None)


def _fork() -> None:
    pid = _call(_FORK)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def _connect(port: int, *, family: int = socket.AF_INET, host: str = "127.0.0.1", protocol: int = 0) -> None:
    with socket.socket(family, socket.SOCK_STREAM, protocol) as connection:
        connection.connect((host, port))


def _send_at_once(port: int) -> None:
    with socket.socket() as connection:
        connection.sendto(b"GET /healthz HTTP/1.0\r\n\r\n", socket.MSG_FASTOPEN, ("127.0.0.1", port))


def _write_large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2 * _GIB)


def _call_abstract(name: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(f"\0{name}")


def _allocate(size: int) -> None:
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS):
        pass


def run() -> None:
    """Attack if this is an engine, alone or among others in a process, and leave a report where it captures."""
    if not any(name.startswith(("ROLLBOOK_RUNTIME_", "ROLLBOOK_SHARED_RUNTIME_")) for name in os.environ):
        return
    targets = json.loads(Path(__file__).with_name("targets.json").read_text(encoding="utf-8"))
    agent = Path(targets["root"]) / "agent" / "local"
    # Among others, it does not know which one is its own.
    own = os.environ.get("ROLLBOOK_RUNTIME_SPOOL_DIR")
    spools = [Path(own)] if own else list((agent / "frames").iterdir())
    report = json.dumps(attack({**targets, "spool": str(spools[0]), "model": str(agent / "models" / targets["own"])}))
    for spool in spools:
        (spool / REPORT).write_text(report, encoding="utf-8")
