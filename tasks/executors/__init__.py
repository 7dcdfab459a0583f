"""Where many trials run: an engine only places them, each supervises itself where it runs."""

from tasks.executors.base import Executor, Needs, WorkerLost, executor_named

__all__ = ["Executor", "Needs", "WorkerLost", "executor_named"]
