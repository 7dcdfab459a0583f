"""`leaderboard`, `compare`: what many trials say."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tasks.cli import console
from tasks.cli.lookups import folders_of_tasks
from tasks.cli.options import RUNS, Json
from tasks.cli.tables import GREYED, LEGEND, Cell, Format, TableFormat, interval, show
from tasks.errors import UnknownName, counted, suggestion

if TYPE_CHECKING:
    from tasks.comparison.board import Board, Row
    from tasks.comparison.paired import Comparison, Line, Part, Side
    from tasks.comparison.records import Record, Trials

Places = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[RUNS…]", help="Trials, folders of trials, suites; by default runs/."),
]
Runs = Annotated[
    list[Path] | None,
    typer.Option("--runs", help="Where the trials of A and B lie; may be repeated. [runs]"),
]


class By(StrEnum):
    """What rows are broken down by."""

    task = "task"
    family = "family"


# --- leaderboard ---------------------------------------------------------------------------------


def leaderboard(
    places: Places = None,
    *,
    by: Annotated[By | None, typer.Option(help="Rows for each task or family too.")] = None,
    k: Annotated[
        int | None,
        typer.Option("--k", min=1, help="Of pass@k; by default as often as all was repeated."),
    ] = None,
    form: Format = TableFormat.text,
    json_: Json = False,
) -> None:
    """Rank agents: three rates, skill and whom each is known to beat.

    Each number has its 95 % interval; who beats whom is corrected for the number of pairs (Holm).
    """
    from tasks.comparison import board, records

    trials = records.read(places or [RUNS])
    found = board.leaderboard(trials.records, by=None if by is None else by.value, k=k or 0)
    medals = _medals(trials.records)
    if json_:
        console.out_json({**found.as_dict(), **_attempts(trials), "mlebench": medals})
        return
    header = ["agent", "n", "tasks", "score", "passed", "completed", "skill if completed"]
    header += [f"pass@{found.k}", f"pass^{found.k}"] if found.k > 1 else []
    asked = any(row.queries for row in found.rows)
    header += ["infrastructure", *(["feedback"] if asked else []), "beats"]
    rows = [_cells(row, found, asked=asked) for row in found.rows]
    if found.groups:
        header = [by.value if by else "", *header[:-1]]
        rows = [
            [name, *_cells(row, found, asked=asked)[:-1]]
            for name, group in found.groups.items()
            for row in group
        ]
    show(header, rows, form)
    if form is not TableFormat.csv:
        _print_notes(_notes(found, trials, medals), form)


def _cells(row: "Row", board: "Board", *, asked: bool) -> list[Cell]:
    passes: list[Cell] = []
    if board.k > 1:
        passes = [row.passes.get("pass_at_k"), row.passes.get("pass_hat_k")]
    beaten = ", ".join(row.beats) or "nobody, as far as known"
    return [
        f"{row.agent}{GREYED if row.greyed else ''}",
        row.n,
        row.tasks,
        row.score,
        row.passed,
        row.completed,
        row.skill,
        *passes,
        sum(row.infrastructure.values()),
        *([counted(row.queries, "query", "queries")] if asked else []),
        beaten,
    ]


def _print_notes(notes: Iterable[str], form: TableFormat) -> None:
    """Print what stands below the table; on a page as a list, whose lines do not run together."""
    console.out()
    for note in notes:
        line = console.printable(note)
        console.out(f"- {line}" if form is TableFormat.md else line)


def _notes(board: "Board", trials: "Trials", medals: Mapping[str, object]) -> Iterator[str]:
    for row in board.rows:
        if row.failed:
            yield f"{row.agent} failed: {_counted(row.failed)}"
        if row.infrastructure:
            left_out = _counted(row.infrastructure)
            yield f"{row.agent}, nobody's result, left out: {left_out}"
        yield from (f"{row.agent}: {words}" for words in _without_result(row))
        for line in _regime(row):
            yield f"{row.agent}: {line}"
    if board.common_tasks < board.all_tasks:
        yield (
            f"only {board.common_tasks} of {board.all_tasks} tasks were met by all agents: means "
            "are over different tasks, `beats` is over common ones"
        )
    if trials.replaced:
        yield f"{counted(trials.replaced, 'result')} replaced by later attempts"
    if board.pairs_tested:
        yield f"{board.pairs_settled} of {board.pairs_tested} pairs of agents are settled"
    for agent, numbers in medals.items():
        yield f"MLE-bench's numbers of {agent}: {numbers}"
    yield f"score: failed trials count 0; [95 % interval]; {LEGEND}"


def _without_result(row: "Row | Side") -> list[str]:
    """Say how many trials are left out that were nobody's fault."""
    words = [f"{row.cancelled} cancelled, left out"] if row.cancelled else []
    return words + ([f"{row.unfinished} not finished: no report yet"] if row.unfinished else [])


def _regime(row: "Row") -> Iterator[str]:
    """Say by which rules the results of an agent were made, where not by the usual ones."""
    if row.practice:
        yield f"{row.practice} for practice (--feedback score), left out"
    if told := row.n - row.feedback.get("none", 0):
        asked = counted(row.queries, "query", "queries")
        yield f"{told} of {row.n} results with --feedback validation, {asked}"
    if row.suspicious:
        yield f"{row.suspicious} of {row.n} results are not borne out by a replay of their code"
    if row.no_code:
        yield f"{row.no_code} of {row.n} results left no code to replay"


def _counted(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in reasons.items())


def _attempts(trials: "Trials") -> dict[str, int]:
    return {"replaced_results": trials.replaced, "earlier_attempts": trials.attempts}


def _medals(records: "Sequence[Record]") -> dict[str, str]:
    """Return MLE-bench's headline per agent, where tasks have a leaderboard."""
    from tasks.comparison import medals

    folders = folders_of_tasks()
    return {
        agent: f"any medal {found.mean:.1f} ± {found.standard_error:.1f} % (mean ± SEM, "
        f"{counted(found.seeds, 'seed')} of {counted(found.competitions, 'task')})"
        for agent, found in medals.headlines(records, folders).items()
    }


# --- compare -------------------------------------------------------------------------------------


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="An agent, or a folder of its trials.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The agent or folder to compare with.")],
    *,
    runs: Runs = None,
    looks: Annotated[
        int, typer.Option(min=1, max=50, help="How many looks at growing data were planned.")
    ] = 1,
    look: Annotated[
        int | None, typer.Option(min=1, help="Which look this is; by default the last.")
    ] = None,
    form: Format = TableFormat.text,
    json_: Json = False,
) -> None:
    """Compare two agents on the instances both met; differences are B minus A.

    With --looks 5 --look 2 it is the second of five planned looks, and only a difference beyond
    O'Brien and Fleming's boundary is named.
    """
    from tasks.comparison import paired
    from tasks.comparison.sequential import Boundary

    sides = _sides((a, b), runs or [RUNS])
    labels = _labels((a, b), sides)
    level = Boundary.of(looks).level(look or looks)
    found = paired.compare(sides[0], sides[1], labels, alpha=level)
    if json_:
        console.out_json(found.as_dict())
        return
    if form is TableFormat.text:
        _print_comparison(found)
    header = ["task", f"n {labels[0]}", f"n {labels[1]}", f"skill {labels[0]}",
              f"skill {labels[1]}", "difference", "B wins", "flipped"]  # fmt: skip
    rows = [_line(line) for line in found.by_task]
    if form is TableFormat.text:
        families = [_line(line) for line in found.by_family]
        show(header, rows, form)
        console.out()
        show(["family", *header[1:-1]], [line[:-1] for line in families], form)
        console.out(f"\n[95 % interval]; {LEGEND}")
    else:
        show(header, rows, form)


def _sides(names: tuple[str, str], runs: Sequence[Path]) -> "list[list[Record]]":
    """Return the trials of each side: a folder's, or those of an agent below `runs`."""
    from tasks.comparison import records

    places = [Path(name) if Path(name).is_dir() else None for name in names]
    common = records.read(runs).records if None in places else []
    agents = {one.agent for one in common}
    found = []
    for name, place in zip(names, places, strict=True):
        if place is None and name not in agents:
            where = ", ".join(map(str, runs))
            raise UnknownName(f"no trials of agent {name!r} in {where}{suggestion(name, agents)}")
        every = common if place is None else records.read([place]).records
        found.append([one for one in every if place is not None or one.agent == name])
    return found


def _labels(names: tuple[str, str], sides: "Sequence[Sequence[Record]]") -> tuple[str, str]:
    """Name each side by its one agent, or by its folder where that tells nothing apart."""
    agents = [{one.agent for one in side} for side in sides]
    first, second = (next(iter(found)) if len(found) == 1 else "" for found in agents)
    if first and second and first != second:
        return first, second
    return names if names[0] != names[1] else (f"{names[0]} (A)", f"{names[1]} (B)")


def _print_comparison(found: "Comparison") -> None:
    shared = {
        "instance": f"{counted(found.pairs, 'pair')} of trials on the same instances",
        "task": "no common instance: trials on the same tasks, each on its own instances",
        "nothing": "no task in common",
    }[found.matched]
    console.out(
        f"{console.printable(found.a.label)} (A) and {console.printable(found.b.label)} (B)"
    )
    families = counted(found.families, "family", "families")
    console.out(f"{shared}; {counted(found.tasks, 'task')} of {families}")
    console.out()
    for name, side in (("A", found.a), ("B", found.b)):
        _print_side(name, side)
    few = "they are too few"
    _print_part("completion", found.completion, "trials", few)
    if found.matched == "task":
        few = (
            "single runs are on instances of their own and make no pairs, so that a task counts "
            "once however often it was run; `aexp suite run` gives agents the same instances"
        )
    _print_part("skill if both completed", found.skill, found.unit, few)
    wins = interval(found.improvement)
    console.out(f"{'P(B beats A)':<24}{wins}, failing loses, ties half")
    console.out()
    console.out(
        f"VERDICT: {console.printable(found.verdict)} (level {found.alpha:.2g}, both parts)"
    )
    console.out()


def _print_side(name: str, side: "Side") -> None:
    words = [f"completed {interval(side.completed)}", f"passed {interval(side.passed)}"]
    words += [f"failed: {_counted(side.failed)}"] if side.failed else []
    words += [f"left out: {_counted(side.infrastructure)}"] if side.infrastructure else []
    words += _without_result(side)
    words += [f"{side.practice} for practice, left out"] if side.practice else []
    if told := sum(side.feedback.values()) - side.feedback.get("none", 0):
        words.append(f"{told} with --feedback validation")
    words += [f"{side.without_partner} without a partner"] if side.without_partner else []
    console.out(f"{name}: {counted(side.trials, 'trial')}, {'; '.join(words)}")


def _print_part(name: str, part: "Part", unit: str, few: str) -> None:
    found = part.difference
    told = interval(found, signed=True)
    console.out(
        f"{name:<24}{told}, n = {found.n} ({unit}), p = {part.p_holm:.2g}: "
        f"{console.printable(part.verdict)}{_more(part, few)}"
    )


def _more(part: "Part", few: str) -> str:
    if part.verdict != "cannot tell":
        return ""
    if not part.difference.estimate:
        return ", there is no difference to settle"
    if part.difference.greyed:
        return f", {few}"
    if part.more_runs is None:
        return ", more than 100,000 runs would not settle so small a difference"
    runs = "1 more run" if part.more_runs == 1 else f"{part.more_runs:,} more runs"
    return f", about {runs} of each needed if that is the true difference"


def _line(line: "Line") -> list[Cell]:
    flips = ", ".join(f"{key}: {change}" for key, change in line.flipped.items())
    name = f"{line.name}{GREYED if line.greyed else ''}"
    counts = [f"{line.completed_a}/{line.n_a}", f"{line.completed_b}/{line.n_b}"]
    return [name, *counts, line.skill_a, line.skill_b, line.difference, line.improvement, flips]
