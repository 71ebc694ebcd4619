"""What a process of a model needs, told in its environment, and how it gives up everything else."""

import os
import resource
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import msgspec

from infra.confinement import landlock, seccomp
from infra.confinement.privileges import be_first_when_memory_runs_out, give_up_privileges
from infra.errors import CannotStartError

VARIABLE = "ROLLBOOK_CONFINEMENT"

READ_ON_ANY_HOST = (
    *("/usr", "/lib", "/lib64", "/bin", "/sbin", "/proc", "/sys"),
    *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime", "/etc/timezone", "/etc/os-release"),
    *("/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/hosts", "/etc/host.conf", "/etc/gai.conf"),
    *("/dev/urandom", "/dev/random", "/dev/zero"),
)
_WRITTEN_ON_ANY_HOST = ("/dev/null",)
_OWN_PACKAGES = ("infra", "schemas", "serving")
_DEVICES = ("/dev/shm", "/dev/kfd", "/dev/dri", "/dev/nvidia-caps")  # noqa: S108  names, not files of ours
_GPUS = "nvidia*"
_LIBRARY_PATHS = ("PYTHONPATH", "LD_LIBRARY_PATH")


class Confinement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that a process may use, beside libraries, the interpreter and what the kernel tells about the machine.

    `reads`, `writes` and `scratch` are files or folders. Whoever reads after the process can rely on there being only
    files and folders in `writes`, so no link and nothing that blocks; in `scratch` anything goes but devices.
    `listens` and `connects` are TCP ports, None is any; port 0 as one of `listens` stands for those that the kernel
    chooses. `starts_programs` is for engines of several processes, and gives them the devices and the shared memory
    that those use. `memory_bytes` bounds the private memory of each process (RLIMIT_DATA), `file_bytes` the size of
    each file that it writes, 0 is no bound. `cpus` are the cores that it runs on, none means all. `libraries` are
    imported before, while their compiled forms can still be written; they must start no thread.
    """

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    scratch: tuple[str, ...] = ()
    listens: tuple[int, ...] | None = ()
    connects: tuple[int, ...] | None = ()
    starts_programs: bool = False
    memory_bytes: int = 0
    file_bytes: int = 0
    cpus: tuple[int, ...] = ()
    libraries: tuple[str, ...] = ()


class Protection(msgspec.Struct, frozen=True):
    """What this host's kernel can enforce."""

    files: bool
    """An engine opens only its own files, and reads no other process's memory or environment."""
    ports: bool
    """An engine connects to no TCP port that it was not given, and binds none."""
    signals: bool
    """An engine signals only processes that it started itself."""
    calls: bool
    """An engine has no other sockets, and starts no programs unless it consists of several."""

    @property
    def is_whole(self) -> bool:
        """Return whether nothing is missing."""
        return self.files and self.ports and self.signals and self.calls


def protection_of_this_host() -> Protection:
    """Ask the kernel."""
    version = landlock.abi()
    return Protection(
        files=version > 0,
        ports=version >= landlock.PORTS_SINCE,
        signals=version >= landlock.SIGNALS_SINCE,
        calls=seccomp.is_known_here(),
    )


def confine_as_told(environ: Mapping[str, str]) -> None:
    """Confine this process as its environment says; without the variable, do nothing.

    Raises:
        CannotStartError: the variable is malformed, a thread is running, or the kernel refuses what it can do.
    """
    told = environ.get(VARIABLE)
    if not told:
        return
    try:
        confinement = msgspec.json.decode(told, type=Confinement)
    except msgspec.DecodeError as error:
        raise CannotStartError(f"{VARIABLE} is malformed: {error}") from error
    for library in confinement.libraries:
        import_module(library)
    confine(confinement, environ)


def confine(confinement: Confinement, environ: Mapping[str, str]) -> None:
    """Give up what is not in it, as far as this host's kernel can enforce it; there is no way back.

    The folders that the environment names for libraries can be read.

    Raises:
        CannotStartError: another thread runs, which would not be confined, or the kernel refuses what it can do.
    """
    _require_one_thread()
    protection = protection_of_this_host()
    try:
        _limit_resources(confinement)
        give_up_privileges()
        if protection.files:
            landlock.restrict(
                reads=(*folders_of_programs(environ), *map(Path, (*READ_ON_ANY_HOST, *confinement.reads))),
                writes=map(Path, confinement.writes),
                scratch=map(Path, (*_written_on_this_host(confinement), *confinement.scratch)),
                listens=confinement.listens,
                connects=confinement.connects,
            )
        if protection.calls:
            seccomp.restrict_calls(may_start_programs=confinement.starts_programs)
    except OSError as error:
        raise CannotStartError(f"the engine cannot be confined: {error}") from error


def _limit_resources(confinement: Confinement) -> None:
    # A core dump would hold what callers sent.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _lower(resource.RLIMIT_DATA, confinement.memory_bytes)
    _lower(resource.RLIMIT_FSIZE, confinement.file_bytes)
    allowed = os.sched_getaffinity(0) & set(confinement.cpus)
    if allowed:
        os.sched_setaffinity(0, allowed)
    be_first_when_memory_runs_out()


def _lower(limit: int, to: int) -> None:
    """Lower a limit, unless it is lower already; 0 is no limit."""
    _, hard = resource.getrlimit(limit)
    if to:
        lowest = to if hard == resource.RLIM_INFINITY else min(to, hard)
        resource.setrlimit(limit, (lowest, lowest))


def folders_of_programs(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return where the interpreter, its packages and our own are, which every engine reads."""
    named = [folder for name in _LIBRARY_PATHS for folder in environ.get(name, "").split(os.pathsep) if folder]
    own = [folder for package in map(import_module, _OWN_PACKAGES) for folder in package.__path__]
    return tuple(Path(folder).resolve() for folder in (sys.prefix, sys.base_prefix, *own, *named))


def _written_on_this_host(confinement: Confinement) -> tuple[str, ...]:
    if not confinement.starts_programs:
        return _WRITTEN_ON_ANY_HOST
    return (*_WRITTEN_ON_ANY_HOST, *_DEVICES, *(str(path) for path in Path("/dev").glob(_GPUS)))


def _require_one_thread() -> None:
    threads = sum(1 for _ in Path("/proc/self/task").iterdir()) if sys.platform == "linux" else 1
    if threads != 1:
        raise CannotStartError(f"an engine cannot be confined while {threads} threads run")
