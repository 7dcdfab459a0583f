"""Agents' packages: installed once each, apart from ours and from each other's."""

import shutil
import subprocess
import sys
from pathlib import Path

from tasks.agents import NO_DEPS, AgentSpec
from tasks.errors import InfrastructureError, InvalidInput, MissingPart

_TOLD = 2000


def install(agent: AgentSpec) -> Path:
    """Make the agent's environment, unless it is there; return its folder.

    Raises:
        InvalidInput: The agent has no packages of its own.
        MissingPart: The Python that it needs is not here.
        InfrastructureError: The packages could not be installed.
    """
    folder = agent.environment
    if folder is None or agent.setup is None:
        raise InvalidInput(f"{agent.id} has no packages of its own (no aexp.setup in its config)")
    if (folder / "ready").is_file():
        return folder
    if folder.exists():
        shutil.rmtree(folder)  # an installation that was broken off
    folder.parent.mkdir(parents=True, exist_ok=True)
    _run([str(_python(agent)), "-m", "venv", *_without_pip(), str(folder)])
    installer = _installer(folder / "bin" / "python")
    _run([*installer, "-r", str(agent.setup)])
    alone = agent.setup.with_name(NO_DEPS)
    if alone.is_file():
        _run([*installer, "--no-deps", "-r", str(alone)])
    (folder / "ready").touch()
    return folder


def _without_pip() -> list[str]:
    return ["--without-pip"] if shutil.which("uv") else []


def _installer(python: Path) -> list[str]:
    if shutil.which("uv"):
        return ["uv", "pip", "install", "--quiet", "--compile-bytecode", "--python", str(python)]
    return [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]


def _python(agent: AgentSpec) -> Path:
    """Return a Python of the version that the agent needs; ours if it does not say."""
    wanted = agent.keys.python
    if wanted is None or wanted == f"{sys.version_info.major}.{sys.version_info.minor}":
        return Path(sys.executable)
    found = shutil.which(f"python{wanted}")
    pyenv = sorted(Path.home().glob(f".pyenv/versions/{wanted}.*/bin/python"))
    for candidate in [*([Path(found)] if found else []), *pyenv]:
        said = subprocess.run([str(candidate), "-V"], check=False, capture_output=True, text=True)
        if said.stdout.startswith(f"Python {wanted}."):
            return candidate
    raise MissingPart(
        f"{agent.id} needs Python {wanted}: apt install python{wanted}-venv, or pyenv"
    )


def _run(command: list[str]) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout).split())[-_TOLD:]
        raise InfrastructureError(f"{command[0]} ended with status {done.returncode}: {said}")
