"""Names the spec fixes: `from tasks.utils import DataGenerator, TaskValidator`."""

from tasks.datasets.generator import DataGenerator
from tasks.validator import TaskValidator

__all__ = ["DataGenerator", "TaskValidator"]
