"""Landlock: which files and TCP ports a process may use, and whom it may signal. Needs no privileges.

The numbers are those of `linux/landlock.h`. A kernel that knows less is asked for less; `abi` says what it knows.
"""

import ctypes
import errno
import os
import stat
import struct
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASKS_FOR_VERSION = 1
_PATH_RULE, _PORT_RULE = 1, 2

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE, _IOCTL = (1 << bit for bit in (0, 1, 2, 3, 14, 15))
_MAKE_CHAR, _MAKE_SOCKET, _MAKE_FIFO, _MAKE_BLOCK, _MAKE_LINK = (1 << bit for bit in (6, 9, 10, 11, 12))
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL
"""What a rule for a single file may grant."""
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_BIND, _CONNECT = 1, 2
_ABSTRACT_SOCKETS, _SIGNALS = 1, 2

_LAST_FILE_RIGHT: Final = {1: 12, 2: 13, 3: 14, 4: 14}
"""By version of Landlock, the last bit of its rights on files; from 5 on it is the same."""
_LAST_FILE_RIGHT_NOW = 15
PORTS_SINCE = 4
SIGNALS_SINCE = 6

_RULESET = struct.Struct("=QQQ")
_OF_PATH = struct.Struct("=Qi")
_OF_PORT = struct.Struct("=QQ")

_libc = ctypes.CDLL(None, use_errno=True)


def abi() -> int:
    """Return the version of Landlock that this kernel has, 0 where it has none or it is switched off."""
    if sys.platform != "linux":
        return 0
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_ASKS_FOR_VERSION))))


def restrict(
    *,
    reads: Iterable[Path],
    writes: Iterable[Path],
    scratch: Iterable[Path],
    listens: Iterable[int] | None,
    connects: Iterable[int] | None,
) -> None:
    """Allow this thread, and what it starts, only these files and TCP ports; it cannot be undone.

    Paths that do not exist are left out. A folder stands for all in it; what may be read may also be run. In `writes`
    only files and folders can be made, in `scratch` also links, pipes and sockets. Port 0 stands for the ports that the
    kernel chooses, among those to listen on; None stands for any.

    Raises:
        OSError: the kernel refuses, or has no Landlock.
    """
    version = abi()
    if not version:
        raise OSError(errno.EOPNOTSUPP, "the kernel has no Landlock")
    handled = (1 << _LAST_FILE_RIGHT.get(version, _LAST_FILE_RIGHT_NOW) + 1) - 1
    asked = {_BIND: listens, _CONNECT: connects} if version >= PORTS_SINCE else {}
    ports = {right: numbers for right, numbers in asked.items() if numbers is not None}
    scoped = _ABSTRACT_SOCKETS | _SIGNALS if version >= SIGNALS_SINCE else 0
    ruleset = _create(_RULESET.pack(handled, sum(ports), scoped), version)
    try:
        for path in reads:
            _allow_path(ruleset, path, _READ & handled)
        whole = handled & ~_MAKE_CHAR & ~_MAKE_BLOCK
        for path in writes:
            _allow_path(ruleset, path, whole & ~_MAKE_SOCKET & ~_MAKE_FIFO & ~_MAKE_LINK)
        for path in scratch:
            _allow_path(ruleset, path, whole)
        for right, numbers in ports.items():
            for port in numbers:
                _call(_ADD_RULE, ruleset, _PORT_RULE, _OF_PORT.pack(right, port), 0)
        _call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _create(attributes: bytes, version: int) -> int:
    # Earlier kernels do not know the later members.
    size = 8 if version < PORTS_SINCE else 16 if version < SIGNALS_SINCE else 24
    return _call(_CREATE_RULESET, attributes[:size], ctypes.c_size_t(size), ctypes.c_uint32(0))


def _allow_path(ruleset: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= _OF_FILES
        _call(_ADD_RULE, ruleset, _PATH_RULE, _OF_PATH.pack(rights, descriptor), 0)
    finally:
        os.close(descriptor)


def _call(number: int, *arguments: object) -> int:
    result = int(_libc.syscall(number, *arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"Landlock: {os.strerror(code)}")
    return result
