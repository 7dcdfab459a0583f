"""Suites: many trials, tasks x agents x repeats, that stop and go on."""

from tasks.suite.again import catch_up, queue_again
from tasks.suite.asked import SuiteFile, load_suite
from tasks.suite.plan import (
    Plan,
    asked_again,
    begin,
    differences,
    merged,
    preflight,
    reopened,
    resolve,
)
from tasks.suite.remove import remove
from tasks.suite.run import Progress, SuiteRun
from tasks.suite.work import Ended, Job, attempt

__all__ = [
    "Ended",
    "Job",
    "Plan",
    "Progress",
    "SuiteFile",
    "SuiteRun",
    "asked_again",
    "attempt",
    "begin",
    "catch_up",
    "differences",
    "load_suite",
    "merged",
    "preflight",
    "queue_again",
    "remove",
    "reopened",
    "resolve",
]
