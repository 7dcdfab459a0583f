"""bubblewrap's arguments, whether it builds the inside of a box or that is built already.

The supervisor imports this: only what loads fast.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tasks.runtimes.request import Box

HOME = "/home"
DATA = f"{HOME}/data"

LINK, BIND = "link", "bind"
"""What a part of the system is inside: a symbolic link, or a folder of the host."""

_PROC = ("--proc", "/proc", "--remount-ro", "/proc")


def built_by_it(box: Box, found: Mapping[str, str]) -> list[str]:
    """Return the arguments by which bubblewrap builds it all, but for those that name open files.

    Args:
        box: What is wanted.
        found: By folder, where bubblewrap finds it, if not under its own name.
    """
    words = [*box["first"]]
    for kind, what, place in box["tree"]:
        words += ["--symlink" if kind == LINK else "--ro-bind", what, place]
    words += [*_PROC, "--dev", "/dev", *_shm(box)]
    for path in box["devices"]:
        words += ["--dev-bind-try", path, path]
    words += ["--remount-ro", "/dev", *_tmp(box)]
    words += ["--bind", found.get(box["home"], box["home"]), HOME]
    words += ["--ro-bind", found.get(box["public"], box["public"]), DATA]
    return [*words, *_seen((path, found.get(path, path)) for path in box["seen"]), *_START]


def built_already(box: Box, tree: str, late: Mapping[str, str]) -> list[str]:
    """Return the arguments by which bubblewrap takes a tree that has all but what is in memory.

    Args:
        box: What is wanted.
        tree: Where the tree lies, with home and data.
        late: By folder that is seen, where it lies, if it is to be put over what is in memory.
    """
    words = [*box["first"], "--dev-bind", tree, "/", *_PROC, *_shm(box), *_tmp(box)]
    return [*words, *_seen(late.items()), *_START]


def program_of(box: Box, found: Mapping[str, str]) -> str:
    """Return where bubblewrap itself is found, by folder as in `built_by_it`."""
    bundle = box["bundle"]
    if bundle is None:
        return box["bwrap"]
    return found.get(bundle, bundle) + box["bwrap"].removeprefix(bundle)


_START = ("--chdir", f"{HOME}/agent")


def _shm(box: Box) -> list[str]:
    return _in_memory("/dev/shm", box["shm_bytes"])  # noqa: S108 - it is the box's own


def _tmp(box: Box) -> list[str]:
    return _in_memory("/tmp", box["tmp_bytes"])  # noqa: S108 - it is the box's own


def _in_memory(place: str, size: int) -> list[str]:
    return ["--perms", "1777", "--size", str(size), "--tmpfs", place]


def _seen(folders: Iterable[tuple[str, str]]) -> list[str]:
    return [word for path, found in folders for word in ("--ro-bind", found, path)]
