"""Data analysis: hand the table to the analysis, and say what came of it."""

from pathlib import Path

from agent_io import AgentError, Job


def run(job: Job) -> None:
    """Write figures and insights on the task's table into results/."""
    import analysis

    path = job.find("data") or job.find("train") or _largest_table(job)
    name = path.stem
    table = job.table(name)
    job.log(f"{path.name}: {len(table)} rows, {table.shape[1]} columns")
    said = analysis.analyse(table, job.results, deadline=job.deadline, log=job.log)
    job.claim(**said)


def _largest_table(job: Job) -> Path:
    tables = [path for path in job.data.glob("*.csv") if path.stem != "sample_submission"]
    if not tables:
        raise AgentError(f"there is no table in {job.data}")
    return max(tables, key=lambda path: path.stat().st_size)
