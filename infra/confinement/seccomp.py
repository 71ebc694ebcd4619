"""A filter of system calls: no socket but TCP and Unix ones, no other process's memory or limits, no new namespaces.

The filter is classic BPF over `struct seccomp_data`, as `linux/seccomp.h` and `linux/filter.h` describe it. System
calls that no engine makes are refused with EPERM, so that a library that only tries one goes on without it.
"""

import ctypes
import errno
import platform
import socket
import struct
from collections.abc import Mapping
from typing import Final, NamedTuple

_SET_SECCOMP, _FILTER_MODE = 22, 2
_ASK_SECCOMP, _IS_ACTION_KNOWN = {"x86_64": 317, "aarch64": 277}, 2
_LOAD, _MASK, _IF_EQUAL, _IF_ANY_BIT, _IF_AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x45, 0x35, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000
_OTHER_ABI = 0x40000000
"""The bit of system calls of x86's third interface, which has other numbers."""
_TYPE_MASK = 0xF
_THREAD = 0x00010000
_NAMESPACES = 0x7E020080

_Instruction = tuple[int, int, int, int]
_PACKED = struct.Struct("=HBBI")


class _Machine(NamedTuple):
    """One architecture's numbers, in the order of `_CALLS`; -1 where it has no such call."""

    audit: int
    numbers: tuple[int, ...]


_CALLS: Final = (
    *("socket", "clone", "clone3", "fork", "vfork", "execve", "execveat", "sendto", "sendmsg", "sendmmsg", "prlimit64"),
    *("setpriority", "chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "lchown", "fchown", "fchownat"),
    *("setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr", "utime", "utimes"),
    *("futimesat", "utimensat", "sched_setaffinity"),
    *("sched_setscheduler", "sched_setparam", "sched_setattr", "ioprio_set", "truncate"),
    *("ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp", "process_madvise"),
    *("io_uring_setup", "bpf", "perf_event_open", "userfaultfd", "keyctl", "add_key", "request_key"),
    *("unshare", "setns", "mount", "umount2", "pivot_root", "chroot", "open_tree", "move_mount", "fsopen", "fsmount"),
    *("open_by_handle_at", "init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load"),
    *("reboot", "swapon", "swapoff", "acct", "quotactl", "settimeofday", "clock_settime", "sethostname", "iopl"),
    *("ioperm", "shmget", "msgget", "semget"),
)
_ALWAYS_REFUSED: Final = _CALLS[_CALLS.index("truncate") :]
_OF_PROGRAMS: Final = (
    "fork",
    "vfork",
    "execve",
    "execveat",
    *_CALLS[_CALLS.index("chmod") : len(_CALLS) - len(_ALWAYS_REFUSED)],
)
"""What only engines of several processes may do: start programs, and change modes, owners, times, cores and schedules.

Landlock knows no rights for modes, owners and times, so without this they could be changed of any file of the user.
"""
_FLAGS: Final = {"sendto": 3, "sendmsg": 2, "sendmmsg": 3}
"""Which argument holds the flags, of the calls that could open a connection on the way."""
_WHOM: Final = {"prlimit64": 0, "setpriority": 1}
"""Which argument is the process that is changed; 0 is the caller itself."""
# fmt: off
_MACHINES: Final[Mapping[str, _Machine]] = {
    "x86_64": _Machine(0xC000003E, (
        41, 56, 435, 57, 58, 59, 322, 44, 46, 307, 302,
        141, 90, 91, 268, 452, 92, 94, 93, 260,
        188, 189, 190, 197, 198, 199, 132, 235,
        261, 280, 203,
        144, 142, 314, 251, 76,
        101, 310, 311, 438, 312, 440,
        425, 321, 298, 323, 250, 248, 249,
        272, 308, 165, 166, 155, 161, 428, 429, 430, 432,
        304, 175, 313, 176, 246, 320,
        169, 167, 168, 163, 179, 164, 227, 170, 172,
        173, 29, 68, 64,
    )),
    "aarch64": _Machine(0xC00000B7, (
        198, 220, 435, -1, -1, 221, 281, 206, 211, 269, 261,
        140, -1, 52, 53, 452, -1, -1, 55, 54,
        5, 6, 7, 14, 15, 16, -1, -1,
        -1, 88, 122,
        119, 118, 274, 30, 45,
        117, 270, 271, 438, 272, 440,
        425, 280, 241, 282, 219, 217, 218,
        97, 268, 40, 39, 41, 51, 428, 429, 430, 432,
        265, 105, 273, 106, 104, 294,
        142, 224, 225, 89, 60, 170, 112, 161, -1,
        -1, 194, 186, 190,
    )),
}
# fmt: on
_NUMBERS: Final = {name: dict(zip(_CALLS, each.numbers, strict=True)) for name, each in _MACHINES.items()}


def is_known_here() -> bool:
    """Return whether there is a filter for this machine, and a kernel that takes it."""
    if platform.system() != "Linux" or platform.machine() not in _MACHINES:
        return False
    action = ctypes.c_uint32(_FAIL)
    call = _ASK_SECCOMP[platform.machine()]
    return int(ctypes.CDLL(None).syscall(call, _IS_ACTION_KNOWN, 0, ctypes.byref(action))) == 0


def restrict_calls(*, may_start_programs: bool) -> None:
    """Filter the system calls of this thread and of what it starts. Needs no new privileges to be set before.

    Raises:
        OSError: the kernel refuses.
    """
    steps = _filter(platform.machine(), may_start_programs=may_start_programs)
    program = b"".join(_PACKED.pack(*each) for each in steps)
    code = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("@HP", len(program) // _PACKED.size, ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_SET_SECCOMP, _FILTER_MODE, ctypes.c_char_p(described), 0, 0):
        raise OSError(ctypes.get_errno(), "the filter of system calls was refused")


def _filter(machine: str, *, may_start_programs: bool) -> list[_Instruction]:
    numbers = _NUMBERS[machine]
    refused = (*_ALWAYS_REFUSED, *(() if may_start_programs else _OF_PROGRAMS))
    clone = [_argument(0)]
    if may_start_programs:
        clone += [(_IF_ANY_BIT, 0, 1, _NAMESPACES), _fail(errno.EPERM), _allow()]
    else:
        clone += [(_IF_ANY_BIT, 1, 0, _THREAD), _fail(errno.EPERM), _allow()]
    return [
        _load(_ARCHITECTURE),
        (_IF_EQUAL, 1, 0, _MACHINES[machine].audit),
        _fail(errno.ENOSYS),
        _load(_NUMBER),
        (_IF_AT_LEAST, 0, 1, _OTHER_ABI),
        _fail(errno.ENOSYS),
        *(step for name in refused if numbers[name] >= 0 for step in _refuse(numbers[name], errno.EPERM)),
        # Its flags are in memory, where a filter cannot look; without it, libraries use the older call.
        *_refuse(numbers["clone3"], errno.ENOSYS),
        *_when(numbers["clone"], clone),
        *_when(numbers["socket"], _of_sockets()),
        # TCP Fast Open connects while it sends, which Landlock does not see.
        *(
            step
            for name, flags in _FLAGS.items()
            for step in _when(numbers[name], _unless_bit(flags, socket.MSG_FASTOPEN))
        ),
        *(step for name, whom in _WHOM.items() for step in _when(numbers[name], _only_zero(whom))),
        _allow(),
    ]


def _of_sockets() -> list[_Instruction]:
    """Allow Unix sockets, TCP, and asking the kernel for the interfaces."""
    return [
        _argument(0),
        (_IF_EQUAL, 10, 0, socket.AF_UNIX),
        (_IF_EQUAL, 9, 0, socket.AF_NETLINK),
        (_IF_EQUAL, 1, 0, socket.AF_INET),
        (_IF_EQUAL, 0, 6, socket.AF_INET6),
        _argument(1),
        (_MASK, 0, 0, _TYPE_MASK),
        (_IF_EQUAL, 0, 3, socket.SOCK_STREAM),
        _argument(2),
        (_IF_EQUAL, 2, 0, 0),
        (_IF_EQUAL, 1, 0, socket.IPPROTO_TCP),
        _fail(errno.EACCES),
        _allow(),
    ]


def _unless_bit(argument: int, bit: int) -> list[_Instruction]:
    return [_argument(argument), (_IF_ANY_BIT, 0, 1, bit), _fail(errno.EACCES), _allow()]


def _only_zero(argument: int) -> list[_Instruction]:
    return [_argument(argument), (_IF_EQUAL, 1, 0, 0), _fail(errno.EPERM), _allow()]


def _argument(number: int) -> _Instruction:
    # The lower half of 64 bits: flags and process ids have 32.
    return _load(_FIRST_ARGUMENT + 8 * number)


def _when(number: int, then: list[_Instruction]) -> list[_Instruction]:
    return [(_IF_EQUAL, 0, len(then), number), *then]


def _refuse(number: int, code: int) -> list[_Instruction]:
    return _when(number, [_fail(code)])


def _load(offset: int) -> _Instruction:
    return (_LOAD, 0, 0, offset)


def _fail(code: int) -> _Instruction:
    return (_RETURN, 0, 0, _FAIL | code)


def _allow() -> _Instruction:
    return (_RETURN, 0, 0, _ALLOW)
