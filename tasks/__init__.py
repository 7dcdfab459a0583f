"""Define, run and honestly grade machine-learning tasks for AI agents."""

from typing import TYPE_CHECKING, Any

# Imported now, so that `tasks.registry` is this object and not the module of the same name.
from tasks.registry import TaskRegistry, registry
from tasks.spec import Criterion, Task

if TYPE_CHECKING:
    from tasks.comparison.frames import results
    from tasks.runner import TaskRunner
    from tasks.validator import TaskValidator

__version__ = "0.1.0"

__all__ = [
    "Criterion",
    "Task",
    "TaskRegistry",
    "TaskRunner",
    "TaskValidator",
    "registry",
    "results",
]

_LAZY = {
    "TaskRunner": "tasks.runner",
    "TaskValidator": "tasks.validator",
    "results": "tasks.comparison.frames",
}


def __getattr__(name: str) -> Any:
    """Import heavy names when they are first used: `import tasks` stays light."""
    if name not in _LAZY:
        raise AttributeError(f"module 'tasks' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
