"""Where a supervisor stands while it starts a box: what it starts takes all of that over.

Mounts, control groups and user are those of whoever starts a program. A fork could take
them on and never look back, but to fork an interpreter and to leave it takes 1.5 ms of CPU. So the
supervisor goes there itself, starts bubblewrap, and comes back.

It imports this: only what loads fast.
"""

from __future__ import annotations

import ctypes
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from tasks.runtimes.cgroups import Group
    from tasks.runtimes.request import Box

    Binds = list[tuple[bytes, bytes, bool]]

_CLONE_NEWNS = 0x20000
_MS_NOSUID, _MS_NODEV, _MS_BIND, _MS_REC, _MS_PRIVATE = 2, 4, 0x1000, 0x4000, 0x40000
_PR_SET_DUMPABLE, _PR_CAP_AMBIENT, _CLEAR_ALL = 4, 47, 4


class Stand:
    """Where the next program is to be started, as a context: within it this process is there.

    Coming back fails only where the system is not what it was; then this process serves no more.
    """

    def __init__(self, libc: ctypes.CDLL, box: Box, group: Group) -> None:
        self._libc, self._box, self._group = libc, box, group
        self._back: list[Callable[[], None]] = []
        self._binds: Binds = [
            (os.fsencode(source), os.fsencode(place), os.path.isdir(source))  # noqa: PTH112 - pathlib loads slowly
            for source, place in box["mounts"]
        ]

    def __enter__(self) -> None:
        try:
            self._go()
        except BaseException:
            self._return()
            raise

    def __exit__(self, *_: object) -> None:
        self._return()

    def _return(self) -> None:
        while self._back:
            self._back.pop()()

    def _go(self) -> None:
        if self._box["stage"]:
            self._stage(os.fsencode(self._box["stage"]))
        self._join()
        if self._box["uid"] is not None:
            self._become(self._box["uid"])

    def _stage(self, stage: bytes) -> None:
        """Bind folders and files to their places below `stage`, seen by nobody else."""
        libc = self._libc
        mounts, root = os.open("/proc/self/ns/mnt", os.O_RDONLY), os.open("/", os.O_PATH)

        def leave() -> None:
            _done(libc.setns(mounts, _CLONE_NEWNS), b"the mounts of before")
            os.chdir(root)
            os.chroot(".")  # which `setns` has forgotten
            os.close(mounts)
            os.close(root)

        self._back.append(leave)
        _done(libc.unshare(_CLONE_NEWNS), b"unshare")
        _done(libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None), b"mount /")
        # Found before the stage hides what a link on the way may lead to.
        handles = [os.open(source, os.O_PATH | os.O_CLOEXEC) for source, _, _ in self._binds]
        flags = _MS_NOSUID | _MS_NODEV
        _done(libc.mount(b"tmpfs", stage, b"tmpfs", flags, b"mode=755,size=1m"), stage)
        for handle, (_, place, folder) in zip(handles, self._binds, strict=True):
            if folder:
                os.mkdir(place)  # noqa: PTH102 - likewise
            else:
                os.close(os.open(place, os.O_CREAT | os.O_WRONLY))
            source = b"/proc/self/fd/%d" % handle
            _done(libc.mount(source, place, None, _MS_BIND | _MS_REC, None), place)
            os.close(handle)

    def _join(self) -> None:
        """Take place within the control groups; a group may have no time for those served first."""
        policy = os.sched_getscheduler(0)
        order = os.sched_getparam(0)
        if policy != os.SCHED_OTHER:
            self._back.append(lambda: os.sched_setscheduler(0, policy, order))
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        self._back.append(self._group.leave)
        self._group.join()

    def _become(self, uid: int) -> None:
        """Become a user without rights, but for the right to be root again, which exec takes."""
        groups, own, own_group = os.getgroups(), os.getresuid(), os.getresgid()
        _done(self._libc.prctl(_PR_CAP_AMBIENT, _CLEAR_ALL, 0, 0, 0), b"capabilities")

        def be_root() -> None:
            os.setresuid(*own)
            os.setresgid(*own_group)
            os.setgroups(groups)
            self._libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)  # which another user may undo

        self._back.append(be_root)
        os.setgroups([])
        os.setresgid(uid, uid, 0)
        os.setresuid(uid, uid, 0)


def _done(status: int, what: bytes) -> None:
    if status != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{os.fsdecode(what)}: {os.strerror(number)}")
