"""What an agent saved as its solution, found among its outputs and made ready to be run again."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tasks.agents import AgentSpec
from tasks.errors import InvalidInput
from tasks.grading.inert import parse_json
from tasks.grading.untrusted import UntrustedFileError, read_bytes
from tasks.runtimes.inside import rerun

NAMED = ("solution.py", "best_solution.py", "solution.ipynb")
"""What a solution is called, the first that is there; else the only script, or notebook, there."""

NOTEBOOK_BYTES = 32 * 2**20
CONVERTED = "solution_of_notebook.py"

START = """\
#!/usr/bin/env bash
exec python "$AGENT_DIR/rerun.py"
"""
_TIMERS = ("%%time", "%%timeit", "%%capture", "%%prun")
"""Cell magics whose cell is Python all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """One file among the outputs that makes a submission from the data."""

    path: Path
    name: str
    """Relative to the outputs, such as `code/solution.py`."""
    sha256: str


def find(outputs: Path) -> Solution | None:
    """Return the solution that was saved below `code/`; None where there is none."""
    code = outputs / "code"
    left = sorted(code.iterdir()) if code.is_dir() else []
    there = {path.name: path for path in left if path.is_file()}
    chosen = next((there[name] for name in NAMED if name in there), None)
    for suffix in (".py", ".ipynb"):
        fitting = [path for path in there.values() if path.suffix == suffix]
        chosen = chosen or (fitting[0] if len(fitting) == 1 else None)
    if chosen is None:
        return None
    with chosen.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Solution(path=chosen, name=f"code/{chosen.name}", sha256=digest)


def as_agent(solution: Solution, agent: AgentSpec, folder: Path) -> AgentSpec:
    """Return an agent that runs the solution again, and nothing else of the one that made it.

    Args:
        solution: What to run; all that lies beside it comes along.
        agent: Who made it; its packages are there again, its models and variables are not.
        folder: An empty folder, which becomes the agent's.

    Raises:
        InvalidInput: The notebook cannot be read.
    """
    shutil.copytree(solution.path.parent, folder / "code")
    shutil.copyfile(rerun.__file__, folder / "rerun.py")
    (folder / "start.sh").write_text(START, encoding="utf-8")
    name = solution.path.name
    if solution.path.suffix == ".ipynb":
        name = CONVERTED
        (folder / "code" / name).write_text(script_of(solution.path), encoding="utf-8")
    return replace(
        agent,
        id="replay",
        command=("start.sh",),
        folder=folder,
        env={"AEXP_SOLUTION": name},
        dockerfile=None,
        privileged=False,
        keys=agent.keys.model_copy(update={"models": {}, "network": "none", "requires": ()}),
    )


def script_of(notebook: Path) -> str:
    """Return the code cells of a notebook as one script; lines for the notebook alone are left out.

    Raises:
        InvalidInput: It is no notebook.
    """
    try:
        content = parse_json(read_bytes(notebook, limit=NOTEBOOK_BYTES))
        cells = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
        return "\n\n".join(_python(cell["source"]) for cell in cells) + "\n"
    except (OSError, UntrustedFileError, ValueError, LookupError, TypeError) as error:
        said = str(error) or type(error).__name__
        raise InvalidInput(f"{notebook.name}: no notebook that can be read: {said}") from error


def _python(source: Any) -> str:
    text = source if isinstance(source, str) else "".join(source)
    lines = text.splitlines()
    first = lines[0].split() if lines else []
    if first and first[0].startswith("%%"):
        if first[0] not in _TIMERS:
            return f"# a cell of {json.dumps(first[0])}, left out"
        lines = lines[1:]
    return "\n".join(_plain(lines))


def _plain(lines: list[str]) -> Iterator[str]:
    for line in lines:
        bare = line.lstrip()
        indent = line[: len(line) - len(bare)]
        # A magic or a command of the shell; an operator may begin a line only with a space behind.
        magic = bare[:1] in {"%", "!"} and bare[1:2] not in {" ", "="}
        yield f"{indent}pass  # {json.dumps(bare)}" if magic else line
