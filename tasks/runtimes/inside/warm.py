"""Runs inside the sandbox of an environment: a Python that is warm, and cells of code in its forks.

    python3 -I warm.py SOCKET [MODULE …]

It imports the modules, connects to SOCKET and obeys lines of JSON. Cells run in a fork of it, which
keeps its variables from cell to cell; `fresh` ends that fork and all else in the box, empties what
is kept in memory, and forks again. It needs nothing but Python itself; what a fork does to it
harms that fork's own episode, for the box belongs to one environment.
"""

from __future__ import annotations

import ast
import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import shutil
import signal
import socket
import sys
import traceback
from pathlib import Path
from time import monotonic, sleep
from typing import Any

PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 4, 36
IN_MEMORY = ("/tmp", "/dev/shm")  # noqa: S108 - the box's own
WARMING = {
    "pandas": "import io\n"
    "frame = module.read_csv(io.StringIO('a,b\\n1,2.5\\n1,x\\n'))\n"
    "frame.groupby('a').size().sort_values()\n"
    "frame.merge(frame, on='a').describe()\n"
    "str(frame)\n",
}
"""What makes a module import what it puts off until it is used."""

ENDING_S = 3.0
"""What a cell that was interrupted may take to end."""
DYING_S, LOOK_S = 5.0, 0.001
PIECE = 65536
MOST_BYTES = 16 * 2**20
HIGHEST_PID = 1000
FILE = "<cell>"


class Lines:
    """A socket that carries a JSON value a line."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self.rest = b""

    def send(self, value: object) -> None:
        """Send one value."""
        self.end.sendall(json.dumps(value).encode() + b"\n")

    def receive(self, seconds: float | None = None) -> Any:
        """Return the next value; None where the other end is gone.

        Raises:
            TimeoutError: It did not come in time.
            ValueError: It is no value.
        """
        while b"\n" not in self.rest:
            if not select.select([self.end], [], [], seconds)[0]:
                raise TimeoutError
            piece = self.end.recv(PIECE)
            if not piece:
                return None
            self.rest += piece
            if len(self.rest) > MOST_BYTES:
                raise ValueError("a line without end")
        line, _, self.rest = self.rest.partition(b"\n")
        return json.loads(line)


class Keeper:
    """Holds the fork that runs cells."""

    def __init__(self, host: Lines) -> None:
        self.host = host
        self.pid = 0
        self.fork: Lines | None = None
        self.mounted = {entry.path for place in IN_MEMORY for entry in os.scandir(place)}
        """What leads to programs of the host that lie below; there before any cell was."""

    def obey(self) -> None:
        """Do what the host asks until it is gone."""
        while (asked := self.host.receive()) is not None:
            if asked["do"] == "fresh":
                left = self.end()
                self.begin()
                self.host.send({"left": left})
            elif asked["do"] == "end":
                self.host.send({"left": self.end()})
            elif asked["do"] in {"stop", "go"}:  # while the host copies what they could change
                with contextlib.suppress(ProcessLookupError):
                    os.kill(-1, signal.SIGSTOP if asked["do"] == "stop" else signal.SIGCONT)
                self.host.send({})
            else:
                self.host.send(self.cell(asked))

    def begin(self) -> None:
        """Fork a process for cells."""
        ours, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            ours.close()
            self.host.end.close()
            os.setsid()
            os.chdir(os.environ["AGENT_DIR"])  # the folder of this episode, not of the first
            ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
            run_cells(Lines(theirs))
        theirs.close()
        self.fork = Lines(ours)

    def end(self) -> bool:
        """End everything in the box but this process, and empty what is kept in memory.

        Returns:
            Whether anything lives on.
        """
        if self.fork is not None:
            self.fork.end.close()
            self.fork = None
        until, left = monotonic() + DYING_S, True
        while left and monotonic() < until:  # what is forked while we kill is met in the next turn
            with contextlib.suppress(ProcessLookupError):
                os.kill(-1, signal.SIGKILL)
            left = bury()
            if left:
                sleep(LOOK_S)
        for place in IN_MEMORY:
            for entry in os.scandir(place):
                if entry.path in self.mounted:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    Path(entry.path).unlink()
        return left

    def cell(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Run a cell; interrupt it when its time is over, and begin anew where that is no use."""
        if self.fork is None:
            self.begin()
        assert self.fork is not None
        self.fork.send(asked)
        for seconds, sign in ((asked["seconds"], signal.SIGINT), (ENDING_S, signal.SIGKILL)):
            try:
                said = self.fork.receive(seconds)
            except TimeoutError:
                os.kill(self.pid, sign)
                continue
            except ValueError:  # a cell wrote into our socket
                break
            if isinstance(said, dict):
                return {**said, "late": sign == signal.SIGKILL}
            break
        lost = "the interpreter is gone, and all variables with it"
        self.end()
        self.begin()
        return {"output": lost, "error": True, "late": sign == signal.SIGKILL, "lost": True}


def bury() -> bool:
    """Take in the dead, whosever children they were; return whether any child is left."""
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return True
        except ChildProcessError:
            return False


def run_cells(keeper: Lines) -> None:
    """Run cells until the keeper is gone; never return."""
    sys.path.insert(0, "")
    names: dict[str, Any] = {"__name__": "__main__", "__builtins__": __builtins__}
    shown = os.memfd_create("output")
    for stream in (1, 2):
        os.dup2(shown, stream)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    while True:
        try:
            asked = keeper.receive()
            if asked is None:
                os._exit(0)
            os.ftruncate(shown, 0)
            os.lseek(shown, 0, os.SEEK_SET)
            failed = run_cell(asked["code"], names)
            keeper.send({"output": printed(shown, asked["most"]), "error": failed})
        except KeyboardInterrupt:  # between two cells: there is nothing to interrupt
            continue


def run_cell(code: str, names: dict[str, Any]) -> bool:
    """Run a cell; a last line that is an expression is shown. Return whether it failed."""
    try:
        tree = ast.parse(code, FILE)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, FILE, "exec"), names)  # noqa: S102 - it is what cells are for
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), FILE, "eval"), names)  # noqa: S307
            if value is not None:
                print(repr(value))
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever it is, it is shown
        sys.stdout.flush()  # what was printed before comes before
        told = error.__traceback__
        while told is not None and told.tb_frame.f_code.co_filename != FILE:
            told = told.tb_next
        traceback.print_exception(type(error), error, told)
        return True
    except SystemExit as error:
        print(f"SystemExit: {error}")
        return True
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
    return False


def printed(shown: int, most: int) -> str:
    """Return what a cell printed: its beginning and its end, where it is long."""
    size = os.fstat(shown).st_size
    if size <= most:
        return os.pread(shown, most, 0).decode(errors="replace")
    half = most // 2
    first, last = os.pread(shown, half, 0), os.pread(shown, half, size - half)
    left_out = f"\n[{size - 2 * half:,} bytes left out]\n"
    return first.decode(errors="replace") + left_out + last.decode(errors="replace")


def main(path: str, *modules: str) -> int:
    """Warm up, and obey."""
    if os.environ.get("HOME") != "/home" or os.getpid() > HIGHEST_PID:
        # What follows ends every process that it can, and empties /tmp.
        print("this runs in a box of its own, and nowhere else", file=sys.stderr)
        return 2
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    end.connect(path)
    there = []
    for module in modules:
        try:
            found = importlib.import_module(module)
        except ImportError:  # the cells can do without, or say so themselves
            continue
        exec(WARMING.get(module, ""), {"module": found})  # noqa: S102 - our own words
        there.append(module)
    gc.collect()
    gc.freeze()  # else the first collection in a fork would copy all of this
    keeper = Keeper(Lines(end))
    keeper.begin()
    keeper.host.send({"warm": there})
    keeper.obey()
    keeper.end()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
