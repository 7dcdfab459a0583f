"""What a runtime is: it contains ONE command and says how that ended."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol, runtime_checkable

from tasks.outcome import Limits, Mechanisms, Outcome
from tasks.workspace import Workspace


class Cancel:
    """Lets another thread or a signal handler stop a run; may be used before the run starts.

    Nothing but an attribute is set, so no lock can be held by the code that a signal interrupts.
    Runtimes look at `wanted` at least every 50 ms.
    """

    def __init__(self) -> None:
        self._wanted: Literal["", "stop", "kill"] = ""

    @property
    def wanted(self) -> Literal["", "stop", "kill"]:
        """What was asked for; once asked, it stays asked."""
        return self._wanted

    def stop(self) -> None:
        """Ask the command to end (SIGTERM), and end it after `Limits.grace_s`."""
        if not self._wanted:
            self._wanted = "stop"

    def kill(self) -> None:
        """End the command at once."""
        self._wanted = "kill"


class Runtime(Protocol):
    """Contains one command. Plug-ins pass the cases of `tests/contracts/test_runtimes.py`."""

    name: str
    home: str | None
    """Where the command sees `workspace.home`; None: where it lies on the host."""
    host_programs: bool
    """Whether it sees the host's programs, our Python among them; an image has its own."""

    def check(self) -> None:
        """Do nothing where this machine can run it; quick enough to be asked before each trial.

        Raises:
            MissingPart: It cannot; the message holds what would change that.
        """
        ...

    def enforces(self, limits: Limits) -> Mechanisms:
        """Return what would enforce each guarantee of a run under these limits, here."""
        ...

    def run(
        self,
        command: Sequence[str],
        workspace: Workspace,
        env: Mapping[str, str],
        limits: Limits,
        *,
        on_output: Callable[[bytes], None] | None = None,
        cancel: Cancel | None = None,
    ) -> Outcome:
        """Run `command` to its end, or to a limit, and leave nothing of it running.

        Args:
            command: Program and arguments; the program is looked up in the PATH of `env`.
            workspace: It runs in `home/agent`; what it prints goes to `log_file`. Where `home` is
                set, `public` is seen, read-only, as `<home>/data`, and nothing else of it.
            env: Its variables, which name places as the command sees them; a runtime adds none
                but `AEXP_TRIAL`.
            limits: When it is ended, and how much of its output is kept.
            on_output: Gets what is kept of its output, as it comes.
            cancel: Ends it early with the reason "cancelled"; what it wrote is kept.

        Returns:
            The ending. Whatever the command does is an outcome, never an exception.

        Raises:
            MissingPart: This machine lacks what the runtime needs.
            InfrastructureError: The machine failed us before the command was started.
        """
        ...


@runtime_checkable
class InImages(Protocol):
    """A runtime whose commands see the programs of an image."""

    def in_image(self, image: str | None) -> Runtime:
        """Return the runtime with that image, or with its default one.

        Raises:
            MissingPart: There is no such image; the message holds the command that builds it.
        """
        ...
