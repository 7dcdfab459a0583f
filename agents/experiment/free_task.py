"""Tasks of no known form: look at what there is and write a short report."""

from pathlib import Path

from agent_io import AgentError, Job, read_table

MAX_TABLE_BYTES = 200_000_000


def run(job: Job) -> None:
    """Write results/report.md on the task and its files; say what was not done."""
    lines = [
        f"# {job.task.get('name') or job.task.get('id') or 'Report'}",
        "",
        "This agent knows no method for a task of this form. What it found:",
        "",
    ]
    files = sorted(path for path in job.data.rglob("*") if path.is_file())
    lines += [_described(job, path) for path in files] or ["- no files"]
    submitted = sorted(path.name for path in job.submission.glob("[!.]*"))
    handed_in = "`sample_submission.csv`, unchanged" if submitted else "nothing"
    lines += ["", f"Handed in: {handed_in}."]
    (job.results / "report.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    job.claim()
    job.log(f"report on {len(files)} files")


def _described(job: Job, path: Path) -> str:
    name = path.relative_to(job.data).as_posix()
    size = path.stat().st_size
    if path.suffix not in {".csv", ".parquet"} or size > MAX_TABLE_BYTES:
        return f"- `{name}`: {size:,} bytes"
    try:
        table = read_table(path)
    except AgentError as error:
        return f"- `{name}`: {error}"
    missing = int(table.isna().to_numpy().sum())
    columns = ", ".join(f"`{column}`" for column in table.columns[:20])
    return f"- `{name}`: {len(table):,} rows, {missing:,} missing cells, columns {columns}"
