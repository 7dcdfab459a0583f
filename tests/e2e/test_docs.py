"""Every code block of README and docs runs as written, or says why it does not."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tasks.cli import app
from tests.conftest import ROOT

PAGES = [
    *sorted(ROOT.glob("*.md")),
    ROOT / "tasks" / "README.md",
    ROOT / "agents" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
FENCE = re.compile(
    r"(?:<!-- (?P<why>[^\n]*) -->\n)?^```(?P<kind>\w*)\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL
)
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")


@dataclass(frozen=True)
class Block:
    kind: str
    code: str
    why: str | None


def blocks(page):
    text = page.read_text(encoding="utf-8")
    return [Block(m["kind"], m["code"], m["why"]) for m in FENCE.finditer(text)]


@pytest.fixture
def checkout(tmp_path):
    for name in ("run_task.py", "tasks", "agents", ".venv"):
        if (ROOT / name).exists():
            (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def run(command, folder):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        timeout=200,
        stdin=subprocess.DEVNULL,
        env={
            **os.environ,
            "PATH": path,
            "PYTHONPATH": str(ROOT),
            "AEXP_KEYS": str(folder / ".keys"),
        },
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_code_blocks_of_a_page_run(page, checkout):
    """Shell blocks in their order, in one folder; then all Python blocks as one script."""
    python = []
    for block in blocks(page):
        if block.why is not None and block.why.startswith("not run: "):
            continue
        if block.kind == "bash":
            code = block.code.replace("source .venv/bin/activate\n", "")
            run(["bash", "-euo", "pipefail", "-c", code], checkout)
        elif block.kind == "python":
            python.append(block.code)
        elif block.kind == "json":
            json.loads(block.code)
        elif block.kind == "yaml":
            assert yaml.safe_load(block.code)
        else:
            assert block.kind == "text", f"{page}: what is a block of kind {block.kind!r}?"
    if python:
        script = checkout / "page.py"
        script.write_text("\n".join(python), encoding="utf-8")
        run([sys.executable, str(script)], checkout)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_links_of_a_page_lead_somewhere(page):
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_the_task_of_the_readme_loads(tmp_path):
    from tasks import Task

    first = next(block for block in blocks(ROOT / "tasks" / "README.md") if block.kind == "json")
    assert Task.from_dict(json.loads(first.code), source="README").id == "credit_default"


def test_the_readme_names_the_first_tasks_with_their_criteria():
    from tasks import registry

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    named = [row.split("`")[1] for row in text.splitlines() if row.startswith("| `")]
    assert len(named) == 5
    for task in map(registry.get_task, named):
        for key, value in task.evaluation_criteria.items():
            if key.startswith(("min_", "max_m")):
                assert str(value) in text, (task.id, key)


def test_the_catalogue_page_is_made_from_the_tasks_as_they_are():
    """If not, run `python -m benchmarks.catalogue`, with --page if no data have changed."""
    from benchmarks.catalogue import page
    from tasks.registry import CATALOGUE, TEMPLATES, TaskRegistry

    shipped = TaskRegistry(TEMPLATES).list_tasks()
    made = page(json.loads(CATALOGUE.read_text(encoding="utf-8")), shipped)
    assert (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8") == made


def test_the_table_of_commands_has_them_all():
    table = (ROOT / "tasks" / "README.md").read_text(encoding="utf-8")
    rows = [line.partition("`")[2].split()[0] for line in table.splitlines() if line[:3] == "| `"]
    missing = {*app.COMMANDS, *app.GROUPS} - {row.strip("`") for row in rows}
    assert not missing
