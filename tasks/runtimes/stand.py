"""Where a supervisor stands while it starts a box: what it starts takes all of that over.

Mounts, control groups and user are those of whoever starts a program. A fork could take
them on and never look back, but to fork an interpreter and to leave it takes 1.5 ms of CPU. So the
supervisor goes there itself, starts bubblewrap, and comes back.

It imports this: only what loads fast.
"""

from __future__ import annotations

import ctypes
import os

from tasks.runtimes.mounts import NODEV, NOSUID, Mounts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from tasks.runtimes.cgroups import Group
    from tasks.runtimes.request import Box
    from tasks.runtimes.template import Template

_PR_SET_DUMPABLE, _PR_CAP_AMBIENT, _CLEAR_ALL = 4, 47, 4


class Stand:
    """Where the next program is to be started, as a context: within it this process is there.

    Coming back fails only where the system is not what it was; then this process serves no more.
    """

    def __init__(
        self, libc: ctypes.CDLL, box: Box, group: Group, template: Template | None
    ) -> None:
        self._libc, self._box, self._group, self._template = libc, box, group, template
        self._mounts = Mounts(libc)
        self._back: list[Callable[[], None]] = []

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
        stage, uid = self._box["stage"], self._box["uid"]
        self._join()  # first, and left last: no groups are seen from within a template
        if stage is not None:
            self._back.append(self._mounts.way_back())
            if self._template is not None:
                self._template.enter(self._box)
            else:
                self._put_on(stage)
        if uid is not None:
            self._become(uid)

    def _put_on(self, stage: str) -> None:
        """Bind folders and files to their places below `stage`, seen by nobody else."""
        mounts = self._mounts
        mounts.leave()
        # Found before the stage hides what a link on the way may lead to.
        found = {
            place: (os.open(source, os.O_PATH | os.O_CLOEXEC), os.path.isdir(source))  # noqa: PTH112 - pathlib loads slowly
            for source, place in staged(self._box).items()
        }
        mounts.mount("tmpfs", stage, "tmpfs", NOSUID | NODEV, "mode=755,size=1m")
        for place, (handle, folder) in found.items():
            if folder:
                os.mkdir(place)  # noqa: PTH102 - likewise
            else:
                os.close(os.open(place, os.O_CREAT | os.O_WRONLY))
            mounts.bind(f"/proc/self/fd/{handle}", place)
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
        if self._libc.prctl(_PR_CAP_AMBIENT, _CLEAR_ALL, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "ambient capabilities")

        def be_root() -> None:
            os.setresuid(*own)
            os.setresgid(*own_group)
            os.setgroups(groups)
            self._libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)  # which another user may undo

        self._back.append(be_root)
        os.setgroups([])
        os.setresgid(uid, uid, 0)
        os.setresuid(uid, uid, 0)


def staged(box: Box) -> dict[str, str]:
    """Return, by folder of the host, where bubblewrap finds it below the stage."""
    if box["stage"] is None:
        return {}
    wanted = [box["home"], box["public"], *box["seen"], *([box["bundle"]] if box["bundle"] else [])]
    return {path: f"{box['stage']}/{number}" for number, path in enumerate(wanted)}
