"""A network of nothing but a loopback device, for one box after another while none has used it.

To make a network namespace and clear it away takes the kernel 1.5 ms of CPU. One in which nothing
ever happened is as good as new: what a socket leaves when its processes are dead (ports that wait,
counters, flow labels) is told by the kernel's own tables, which are compared byte by byte. The
supervisor of root imports this: only what loads fast.
"""

from __future__ import annotations

import ctypes
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_CLONE_NEWNET = 0x40000000
_AF_INET, _DATAGRAM = 2, 2
_SET_FLAGS = 0x8914
_UP_LOOPBACK = 0x1 | 0x8
_MOST = 2**16

_TABLES = (
    "arp",
    "dev",
    "dev_mcast",
    "dev_snmp6/lo",
    "icmp6",
    "igmp",
    "igmp6",
    "ip6_flowlabel",
    "ipv6_route",
    "mcfilter",
    "netstat",
    "route",
    "rt6_stats",
    "snmp",
    "snmp6",
    "xfrm_stat",
)
"""What outlives a socket is seen in one of these: each packet, each refusal, each label.

They are those of one namespace; that of tracked connections, which takes longer than all others
together, tells of nothing that `dev` does not count.
"""


class Loopback:
    """The namespace, if there is one, and how its tables looked when it was made."""

    def __init__(self) -> None:
        self._namespace = 0
        self._tables: list[int] = []
        self._unused: list[bytes] = []

    def make_ready(self, libc: ctypes.CDLL) -> None:
        """Make a namespace, unless there is one in which nothing has happened.

        Raises:
            OSError: This process may not.
        """
        if self._namespace and self._look() == self._unused:
            return
        self.close()
        outside = os.open("/proc/self/ns/net", os.O_RDONLY)
        try:
            _done(libc.unshare(_CLONE_NEWNET), "a network namespace")
            try:
                _raise_loopback(libc)
                self._namespace = os.open("/proc/self/ns/net", os.O_RDONLY)
                self._tables = [*_opened()]
                self._unused = self._look()
            finally:
                _done(libc.setns(outside, _CLONE_NEWNET), "the network of before")
        finally:
            os.close(outside)

    def enter(self, libc: ctypes.CDLL) -> Callable[[], None]:
        """Take this process into it; return what takes it back.

        Raises:
            OSError: This process may not.
        """
        outside = os.open("/proc/self/ns/net", os.O_RDONLY)

        def leave() -> None:
            try:
                _done(libc.setns(outside, _CLONE_NEWNET), "the network of before")
            finally:
                os.close(outside)

        try:
            _done(libc.setns(self._namespace, _CLONE_NEWNET), "the network namespace")
        except OSError:
            os.close(outside)
            raise
        return leave

    def close(self) -> None:
        """Forget it; the kernel clears it away when nobody is left in it."""
        for handle in (*self._tables, *([self._namespace] if self._namespace else [])):
            os.close(handle)
        self._namespace, self._tables = 0, []

    def _look(self) -> list[bytes]:
        return [os.pread(handle, _MOST, 0) for handle in self._tables]


def _opened() -> list[int]:
    """Open the tables that there are; an open one stays that of this namespace."""
    found = []
    for name in _TABLES:
        try:
            found.append(os.open(f"/proc/self/net/{name}", os.O_RDONLY))
        except FileNotFoundError:  # a kernel without IPv6, say
            continue
    return found


def _raise_loopback(libc: ctypes.CDLL) -> None:
    request = b"lo".ljust(16, b"\0") + _UP_LOOPBACK.to_bytes(2, sys.byteorder)
    handle = libc.socket(_AF_INET, _DATAGRAM, 0)
    _done(min(handle, 0), "a socket")
    try:
        raised = libc.ioctl(handle, _SET_FLAGS, ctypes.create_string_buffer(request, 40))
        _done(raised, "the loopback device")
    finally:
        os.close(handle)


def _done(status: int, what: str) -> None:
    if status != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


LOOPBACK = Loopback()
"""A supervisor keeps one command at a time, so there is one."""
