"""Agents: anything with a start command, or an entry of a `config.yaml` as MLE-bench writes it."""

import hashlib
import inspect
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any

from tasks.agent_keys import AgentKeys
from tasks.errors import InvalidInput, MissingPart, UnknownName, UsageError, brief, suggestion
from tasks.outcome import Limits

SHIPPED = Path(__file__).resolve().parent.parent / "agents"
LINE_BYTES = 2**16

PRIVILEGED = "I_ACCEPT_RUNNING_PRIVILEGED_CONTAINERS"
"""The variable by which the user of MLE-bench takes that risk; it is the same here."""

DOOR_KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY")
"""Variables that hold a trial's token where the agent's models are behind a door."""

NO_DEPS = "requirements-no-deps.txt"
"""Beside the file of packages: those that are installed without what they say they need."""

HOLDER = "defaults"
"""The entry that holds YAML anchors in the configs of MLE-bench's agents, and is no agent."""

log = logging.getLogger(__name__)

_KEYS = frozenset(
    {"start", "dockerfile", "kwargs", "kwargs_type", "env_vars", "privileged", "aexp"}
)
_KWARGS_TYPES = ("argparse", "omegaconf")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,39}")
_SECRET = re.compile(r"\$\{\{\s*secrets\.(\w+)\s*\}\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSpec:
    """What to run: a folder with a start file, or a bare command."""

    id: str
    command: tuple[str, ...]
    """A bare command; or, where there is a folder, the start file within it and its arguments."""
    entry: str | None = None
    """The id of its entry in a config, which it keeps under another name."""
    folder: Path | None = None
    """Copied into the agent's world before the start."""
    env: Mapping[str, str] = field(default_factory=dict)
    dockerfile: Path | None = None
    """How a container image for it is built, if it is to run in one."""
    privileged: bool = False
    """Whether it asks for a container with all rights; see `refuse_privileged`."""
    keys: AgentKeys = field(default_factory=AgentKeys)
    """What its entry says under `aexp:`."""
    setup: Path | None = None
    """The file that lists its packages."""
    notes: tuple[str, ...] = ()
    """What MLE-bench would not take of the entry, or drop silently."""

    @property
    def environment(self) -> Path | None:
        """The virtual environment that `aexp agents setup` makes for these very packages."""
        if self.setup is None:
            return None
        digest = hashlib.sha256(str(self.keys.python).encode())
        for file in (self.setup, self.setup.with_name(NO_DEPS)):
            digest.update(file.read_bytes() if file.is_file() else b"")
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return cache / "aexp" / "agents" / f"{self.setup.parent.name}-{digest.hexdigest()[:12]}"

    @property
    def image(self) -> str | None:
        """The tag of its image: as in MLE-bench, its folder's name; None without a Dockerfile."""
        if self.folder is None or self.dockerfile is None:
            return None
        ours = self.folder.resolve() == SHIPPED / "experiment"
        return "mlebench-experiment" if ours else self.folder.resolve().name

    def recorded(self) -> dict[str, Any]:
        """Return what a trial's record says of it: enough to find it again, whatever its name."""
        found: dict[str, Any] = {"id": self.id, "command": list(self.command)}
        return found if self.entry in {None, self.id} else {**found, "entry": self.entry}

    def start(self, agent_dir: PurePath) -> list[str]:
        """Return the command line, given where the agent sees the copy of its folder."""
        if self.folder is None:
            return list(self.command)
        return ["bash", str(agent_dir / self.command[0]), *self.command[1:]]


def from_command(argv: Sequence[str]) -> AgentSpec:
    """Make an agent of a bare command, such as `["python", "my_agent.py"]`.

    Raises:
        UsageError: The command is empty.
    """
    words = [str(word) for word in argv]
    if not words or not words[0]:
        raise UsageError("the agent's command is empty; put it after --, as in: -- python agent.py")
    stem = next((Path(w).stem for w in words if w.endswith((".py", ".sh"))), None)
    name = re.sub(r"[^A-Za-z0-9.-]+", "-", stem or Path(words[0]).name).strip("-.")
    return AgentSpec(id=name[:40] or "command", command=tuple(words))


def from_function(function: Callable[[], object]) -> AgentSpec:
    """Make an agent of a Python function without arguments, at the top of a file.

    The file is copied into the agent's world and run there under the name `agent`, not `__main__`;
    then the function is called. It finds all it needs in the environment.

    Raises:
        UsageError: It is no such function: a lambda, a method, or one typed in by hand.
    """
    name = getattr(function, "__qualname__", "")
    try:
        file = inspect.getsourcefile(function)
    except TypeError as error:  # written in C
        raise UsageError(f"{function!r} has no source to be copied") from error
    if not name.isidentifier() or file is None or not Path(file).is_file():
        raise UsageError(f"{name or function!r} must be a function at the top of a file")
    call = f"import runpy, sys; runpy.run_path(sys.argv[1], run_name='agent')[{name!r}]()"
    return AgentSpec(id=name.replace("_", "-"), command=(sys.executable, "-c", call, file))


def names(agents_dir: Path | None = None) -> list[str]:
    """Return the ids of all agents below `agents_dir`, by default the shipped ones.

    `defaults`, which others are merged from, can be loaded as in MLE-bench and is not among them.
    """
    return sorted(_entries_below(agents_dir or SHIPPED).keys() - {HOLDER})


def load(name: str, agents_dir: Path | None = None) -> AgentSpec:
    """Read an agent's entry from the `config.yaml` files below `agents_dir`.

    Args:
        name: The agent's id, such as `experiment` or `aide/dev`.
        agents_dir: A folder of agents; by default the shipped ones.

    Raises:
        UnknownName: No entry of that id.
        InvalidInput: A config cannot be read, or the entry is wrong.
        MissingPart: The entry needs a secret that the environment does not hold.
    """
    root = agents_dir or SHIPPED
    entries = _entries_below(root)
    if name not in entries:
        known = entries.keys() - {HOLDER}
        raise UnknownName(f"no agent {name!r} in {root}{suggestion(name, known)}")
    config, entry = entries[name]
    where = f"{config}: {name}"
    unknown = sorted(map(str, entry.keys() - _KEYS))
    if unknown:
        raise InvalidInput(f"{where}: unknown key {unknown[0]!r}{suggestion(unknown[0], _KEYS)}")
    start = _file(root, entry, "start", where)
    if start is None:
        missing = brief(str(entry["start"]))
        raise InvalidInput(f"{where}: start names {missing}, which is not there")
    folder = config.parent
    if not start.is_relative_to(folder.resolve()):
        raise InvalidInput(f"{where}: start must lie in the agent's folder {folder}")
    _refuse_windows_lines(start)
    keys = AgentKeys.read(entry, where)
    dockerfile = _file(root, entry, "dockerfile", where) if "dockerfile" in entry else None
    notes = tuple(_notes(entry, dockerfile))
    for note in notes:
        if "kwargs" in note:  # the only one that changes what is run
            log.warning("%s: %s", where, note)
    return AgentSpec(
        id=name,
        entry=name,
        command=(str(start.relative_to(folder.resolve())), *_arguments(entry, where)),
        folder=folder,
        env=_variables(entry, where, () if not keys.models else DOOR_KEYS),
        dockerfile=dockerfile,
        privileged=_flag(entry, "privileged", where),
        keys=keys,
        setup=keys.setup_file(folder, where),
        notes=notes,
    )


def is_name(text: str) -> bool:
    """Say whether an agent may be called so in reports, tables and names of folders."""
    return _NAME.fullmatch(text) is not None


def named(agent: AgentSpec, name: str | None) -> AgentSpec:
    """Return an agent under a name of the user's choice, if there is one.

    Raises:
        UsageError: No agent can be called so.
    """
    if name is None:
        return agent
    if not is_name(name):
        raise UsageError(
            f"--name {brief(name)}: an agent's name is a letter or digit, then letters, digits, "
            "'.', '_', '/' and '-', at most 40"
        )
    return replace(agent, id=name)


def limited(agent: AgentSpec, limits: Limits) -> Limits:
    """Return limits with the agent's own where the user says nothing.

    Raises:
        UsageError: The agent wants a network that the user does not grant.
    """
    wanted = agent.keys.network
    if wanted not in {"none", limits.network}:
        raise UsageError(f"{agent.id} wants the network {wanted!r}: grant it by --network {wanted}")
    usual = Limits()
    given = agent.keys.limits.model_dump(exclude_none=True)
    silent = {k: v for k, v in given.items() if getattr(limits, k) == getattr(usual, k)}
    return replace(limits, **silent)


def refuse_privileged(agent: AgentSpec, environ: Mapping[str, str] = os.environ) -> None:
    """Refuse an agent that asks for a privileged container, unless the user takes the risk.

    Raises:
        MissingPart: The variable is not set.
    """
    if agent.privileged and environ.get(PRIVILEGED, "").lower() not in {"true", "1", "t"}:
        raise MissingPart(
            f"{agent.id} asks for a privileged container, which can take over this machine: run "
            f"it with --local, or accept the risk: export {PRIVILEGED}=true"
        )


# --- reading config.yaml -----------------------------------------------------------------------


def _entries_below(root: Path) -> dict[str, tuple[Path, dict[str, Any]]]:
    from tasks.agent_configs import entries_below  # a bare command needs no YAML

    return entries_below(root)


def _file(root: Path, entry: Mapping[str, Any], key: str, where: str) -> Path | None:
    """Return a file that an entry names relative to the folder of agents, if it is there."""
    name = str(entry[key])
    try:
        path = (root / name).resolve()
        found = path.is_file()
    except (OSError, RuntimeError, ValueError) as error:  # too long, a loop of links, or a NUL
        raise InvalidInput(f"{where}: {key} names {brief(name)}, which is no path") from error
    if not path.is_relative_to(root.resolve()):
        raise InvalidInput(f"{where}: {key} leaves the folder of agents: {brief(name)}")
    return path if found else None


def _notes(entry: Mapping[str, Any], dockerfile: Path | None) -> Iterator[str]:
    """Say what MLE-bench itself would make of an entry that is taken here."""
    if "dockerfile" not in entry:
        yield "no dockerfile; MLE-bench needs one"
    elif dockerfile is None:
        yield f"dockerfile names {brief(str(entry['dockerfile']))}, which is not there"
    if entry.get("kwargs") and entry.get("kwargs_type") is None:
        yield "kwargs without kwargs_type, taken as omegaconf (key=value); MLE-bench refuses them"


def _flag(entry: Mapping[str, Any], key: str, where: str) -> bool:
    value = entry.get(key, False)
    if not isinstance(value, bool):
        raise InvalidInput(f"{where}: {key} must be true or false, not {brief(value)}")
    return value


def _refuse_windows_lines(start: Path) -> None:
    """Refuse a script that bash would take amiss line by line."""
    with start.open("rb") as file:
        if file.readline(LINE_BYTES).endswith(b"\r\n"):
            raise InvalidInput(
                f"{start}: its lines end as on Windows (CRLF), which bash does not understand: "
                "sed -i 's/\\r$//' " + str(start)
            )


def _mapping(entry: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    value = entry.get(key) or {}
    if not isinstance(value, dict):
        raise InvalidInput(f"{where}: {key} must be a mapping of names to values")
    return value


def _arguments(entry: Mapping[str, Any], where: str) -> list[str]:
    """Return the arguments that `kwargs` become, as MLE-bench appends them."""
    kwargs = _resolved(_mapping(entry, "kwargs", where), where)
    # MLE-bench refuses kwargs without a type; the spec's own sample has none, with dotted keys.
    kind = entry.get("kwargs_type") or "omegaconf"
    if not kwargs:
        return []
    if kind not in _KWARGS_TYPES:
        raise InvalidInput(f"{where}: kwargs_type is {kind!r}; known: {', '.join(_KWARGS_TYPES)}")
    if kind == "argparse":
        return [word for key, value in kwargs.items() for word in (f"--{key}", value)]
    return [f"{key}={value}" for key, value in kwargs.items()]


def _variables(entry: Mapping[str, Any], where: str, from_door: Sequence[str]) -> dict[str, str]:
    given = _mapping(entry, "env_vars", where)
    # Behind a door the key is a token of the trial; the provider's own must not be asked for.
    kept = {name: value for name, value in given.items() if name not in from_door}
    variables = _resolved(kept, where)
    for name in variables:
        if not name or "=" in name or "\0" in name:
            raise InvalidInput(f"{where}: env_vars: {brief(name)} cannot name a variable")
    return variables


def _resolved(values: Mapping[str, Any], where: str) -> dict[str, str]:
    """Return values as text, `${{ secrets.NAME }}` replaced from the host's environment."""
    resolved = {}
    for key, value in values.items():
        # As in MLE-bench: what follows a secret's name is dropped.
        secret = _SECRET.match(value) if isinstance(value, str) else None
        if secret is None:
            resolved[str(key)] = _text(value, f"{where}: {brief(key)}")
            continue
        name = secret.group(1)
        if name not in os.environ:
            raise MissingPart(f"{where}: {key} needs {name}; set it: export {name}=…")
        resolved[str(key)] = os.environ[name]
    return resolved


def _text(value: Any, where: str) -> str:
    try:
        text = str(value)
    except ValueError as error:  # more digits than Python writes out
        raise InvalidInput(f"{where}: too large a number") from error
    if "\0" in text:
        raise InvalidInput(f"{where}: holds a NUL, which no command can be given")
    return text
