"""description.md: exactly what an agent is told, made from public things only."""

from tasks.instance import Contract, Instance
from tasks.spec import Criterion, Task

OUTPUTS_NOTE = """Paths come as environment variables: `$DATA_DIR` (input), `$SUBMISSION_DIR`,
`$EXPERIMENT_DIR` (with `results/`, `models/`, `scripts/`, `notebooks/`), `$CODE_DIR` and
`$LOGS_DIR`. The time limit in seconds is `$TIME_LIMIT_SECS`; what is there when it ends
is what counts."""


def description(task: Task, instance: Instance) -> str:
    """Return the Markdown an agent is given: the job, the files, the form, the marks."""
    parts = [f"# {task.name}", task.description, "## Your job", task.instructions]
    parts += ["## Files in `$DATA_DIR`", _files(task, instance)]
    if instance.contract is not None:
        parts += ["## What to submit", submission_form(instance.contract)]
    if outputs := _expected(task):
        parts += ["## Expected outputs", outputs]
    if task.criteria:
        parts += ["## How it is judged", _marks(task.criteria)]
    parts += ["## Where things are", OUTPUTS_NOTE]
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def submission_form(contract: Contract) -> str:
    """Return, in Markdown, which table is wanted."""
    columns = [f"- `{contract.id_column}`: each of the {len(contract.ids):,} test ids once"]
    if contract.kind == "classes":
        classes = ", ".join(contract.classes)
        required = "required" if contract.probabilities else "optional"
        columns.append(f"- `{contract.target}`: the predicted class, one of {classes}")
        columns.append(
            f"- `proba_{contract.classes[0]}` … `proba_{contract.classes[-1]}` ({required}): "
            "class probabilities; a row sums to 1"
        )
        columns += _costs(contract)
    elif contract.kind == "multilabel":
        first, last = contract.classes[0], contract.classes[-1]
        required = "required" if contract.probabilities else "optional"
        columns.append(
            f"- `proba_{first}` … `proba_{last}` ({required}): the probability of each label, "
            "in [0, 1]; they need not sum to 1"
        )
        optional = "optional; without them, labels" if contract.probabilities else "without them"
        columns.append(
            f"- `label_{first}` … `label_{last}` ({optional} more likely than 0.5 count as "
            "there): 1 where the label is there, else 0"
        )
    elif contract.kind == "values":
        columns.append(f"- `{contract.target}`: the predicted number, finite")
        columns += [f"- `q{level:g}`: the {level:g} quantile" for level in contract.quantiles]
    else:
        columns.append(f"- `{contract.target}`: a cluster number, any integer")
    form = "\n".join(columns)
    return (
        f"One file, `$SUBMISSION_DIR/submission.csv` (or `.parquet`), rows in any order, "
        f"with the columns\n\n{form}\n\n`sample_submission.csv` has this form. "
        "`bash $HOME/validate_submission.sh` checks yours without scoring it."
    )


def _costs(contract: Contract) -> list[str]:
    """Return what each confusion costs, a line per true class, in the list of columns."""
    return [
        f"- where class {true} is true, saying "
        + ", ".join(f"{c} costs {cost:g}" for c, cost in zip(contract.classes, row, strict=True))
        for true, row in zip(contract.classes, contract.costs, strict=False)
    ]


def _files(task: Task, instance: Instance) -> str:
    copied = [f"- `{name}`" for name in task.copy_files]
    own = ["- `task_config.json`: this task for programs"]
    if instance.contract is not None:
        own.append("- `sample_submission.csv`: the form of a submission")
    return "\n\n".join(
        part for part in (instance.notes.strip(), "\n".join([*own, *copied])) if part
    )


def _expected(task: Task) -> str:
    wanted = task.expected_outputs
    if isinstance(wanted, dict):
        return "\n".join(f"- `{name}`: {text}" for name, text in wanted.items())
    return "\n".join(f"- {item}" for item in wanted)


def _marks(criteria: tuple[Criterion, ...]) -> str:
    lines = [f"- `{criterion.key}`: {in_words(criterion)}" for criterion in criteria]
    note = "What you report of yourself is recorded beside the measured values and never scored."
    return "\n".join(lines) + f"\n\n{note}"


def in_words(criterion: Criterion) -> str:
    """Say what a criterion asks for."""
    threshold = criterion.threshold
    if isinstance(threshold, tuple):
        return f"these must exist: {', '.join(threshold)}"
    if criterion.bound == "required":
        verified = {"insights": "verified claims", "visualizations": "figures that count"}
        return f"at least {threshold:g} {verified.get(criterion.subject, criterion.subject)}"
    if criterion.subject == "training_time":
        return f"finished within {threshold:g} s, measured by the harness"
    side = "at least" if criterion.bound == "min" else "at most"
    return f"{criterion.subject.replace('_', ' ')} {side} {threshold:g} on the hidden answers"
