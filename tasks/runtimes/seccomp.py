"""A deny-list of system calls as a program for the kernel's filter (seccomp, classic BPF).

What is denied widens the kernel's surface far beyond what a machine-learning program needs: new
namespaces and mounts, other processes' memory, keys, clocks, modules, io_uring; or it leaves a mark
on a file that can only be read, where another trial could find it. The rest passes.
"""

import errno
import platform
import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

CALLS: Final[dict[str, tuple[int, int]]] = {
    # name: number on x86_64, on aarch64
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "mbind": (237, 235),
    "set_mempolicy_home_node": (450, 450),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "unshare": (272, 97),
    "setns": (308, 268),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "syslog": (103, 116),
    "vhangup": (153, 58),
    "personality": (135, 92),
    "lookup_dcookie": (212, 18),
    "nfsservctl": (180, 42),
    "settimeofday": (164, 170),
    "adjtimex": (159, 171),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
}
"""Calls that fail with EPERM."""

X86_ONLY: Final = {
    "iopl": 172,
    "ioperm": 173,
    "modify_ldt": 154,
    "uselib": 134,
    "sysfs": 139,
    "_sysctl": 156,
    "create_module": 174,
}

CLONE: Final = (56, 220)
SOCKET: Final = (41, 198)
SOCKETPAIR: Final = (53, 199)
CLONE3: Final = 435
MADVISE: Final = (28, 233)
COLLAPSE: Final = 25
"""The advice to make huge pages of a file."""
FCNTL: Final = (72, 25)
WRITE_HINTS: Final = (1036, 1038)
"""F_SET_RW_HINT and F_SET_FILE_RW_HINT: before Linux 6.9 whoever reads a file may set its hint."""

FAMILIES: Final = (1, 2, 10, 16)
"""Sockets one may make: unix, IPv4, IPv6, netlink. AF_VSOCK would reach out of any namespace."""

_MACHINES: Final = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""By machine, the column of the tables, and how the kernel calls it."""

_X32 = 0x40000000
_NEW_NAMESPACES = 0x7E020080
"""CLONE_NEW of user, pid, net, ipc, uts, mount, cgroup and time."""

_LOAD, _EQUAL, _ANY_BIT, _AT_LEAST, _GO_TO, _RETURN = 0x20, 0x15, 0x45, 0x35, 0x05, 0x06
_ALLOW, _FAIL, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT, _SECOND_ARGUMENT, _THIRD_ARGUMENT = 0, 4, 16, 24, 32
"""Offsets in the kernel's `seccomp_data`; both machines are little-endian."""


_CHUNK = 8
"""Numbers that are compared one by one; of the other chunks only the largest is."""

Line = tuple[int, int, int, int]


def supported() -> bool:
    """Whether there is a program for this machine."""
    return platform.machine() in _MACHINES


@lru_cache(maxsize=4)
def program(machine: str | None = None) -> bytes:
    """Return the filter for a machine, by default this one."""
    column, architecture = _MACHINES[machine or platform.machine()]
    denied = [numbers[column] for numbers in CALLS.values()]
    lines = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),  # 32-bit calls have other numbers
        (_LOAD, 0, 0, _NUMBER),
    ]
    if column == 0:
        denied += X86_ONLY.values()
        lines += [(_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _FAIL | errno.ENOSYS)]
    lines += _refusing(sorted(denied))
    # Its flags lie in memory, where no filter can look; without it the C library takes clone.
    lines += [(_EQUAL, 0, 1, CLONE3), (_RETURN, 0, 0, _FAIL | errno.ENOSYS)]
    lines += [
        (_EQUAL, 0, 4, CLONE[column]),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_ANY_BIT, 0, 1, _NEW_NAMESPACES),
        (_RETURN, 0, 0, _FAIL | errno.EPERM),
        (_RETURN, 0, 0, _ALLOW),
        *_but_for(MADVISE[column], _THIRD_ARGUMENT, (COLLAPSE,)),
        *_but_for(FCNTL[column], _SECOND_ARGUMENT, WRITE_HINTS),
        (_EQUAL, 1, 0, SOCKET[column]),
        (_EQUAL, 0, len(FAMILIES) + 2, SOCKETPAIR[column]),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
    ]
    for left, family in zip(range(len(FAMILIES), 0, -1), FAMILIES, strict=True):
        lines.append((_EQUAL, left, 0, family))
    lines += [(_RETURN, 0, 0, _FAIL | errno.EAFNOSUPPORT), (_RETURN, 0, 0, _ALLOW)]
    return b"".join(struct.pack("HBBI", *line) for line in lines)


def _but_for(number: int, argument: int, values: Sequence[int]) -> list[Line]:
    """Return lines that allow a call but for these values of an argument, and go on for others.

    Those fail as where the kernel knows of no such thing.
    """
    return [
        (_EQUAL, 0, len(values) + 3, number),
        (_LOAD, 0, 0, argument),
        *((_EQUAL, len(values) - k, 0, value) for k, value in enumerate(values)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _FAIL | errno.EINVAL),
    ]


def _refusing(numbers: Sequence[int]) -> list[Line]:
    """Return lines that fail for each of these sorted numbers and go on after the last of them.

    When a filter is set the kernel runs it for every call there is, so that its length in steps is
    paid by each box: at most 25, where comparing one by one takes seventy.
    """
    chunks = [numbers[start : start + _CHUNK] for start in range(0, len(numbers), _CHUNK)]
    refusal = sum(len(chunk) + 2 for chunk in chunks)
    lines: list[Line] = []
    for chunk in chunks:
        beyond = len(chunk) + 1 + (chunk is chunks[-1])  # the refusal is no chunk
        lines.append((_AT_LEAST, beyond, 0, chunk[-1] + 1))
        for number in chunk:
            lines.append((_EQUAL, refusal - len(lines) - 1, 0, number))
        lines.append((_GO_TO, 0, 0, refusal - len(lines)))
    return [*lines, (_RETURN, 0, 0, _FAIL | errno.EPERM)]
