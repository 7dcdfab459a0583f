"""Options that several commands share: each has its flag and its help here, once."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, TypeVar

import typer

from tasks import registry
from tasks.amounts import n_bytes, seconds

LEAST_S: Final = 0.1
"""No agent can do anything in less."""
_Found = TypeVar("_Found")

HELP: Final = {"help_option_names": ["-h", "--help"]}


def group(what: str) -> typer.Typer:
    """Make a group of commands, which shows its help where none is named."""
    return typer.Typer(help=what, no_args_is_help=True, context_settings=HELP)


# --- how values are written ----------------------------------------------------------------------


def complete_task(incomplete: str) -> list[str]:
    """Offer task ids to the shell."""
    return [task.id for task in registry.list_tasks() if task.id.startswith(incomplete)]


def _parsed(read: Callable[[str], _Found], text: str) -> _Found:
    try:
        return read(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def parse_size(text: str) -> int:
    """Return the bytes of a size such as `512m` or `4g`.

    Raises:
        typer.BadParameter: It is none, or less than a byte.
    """
    return _parsed(n_bytes, text)


def parse_time(text: str) -> float:
    """Return the seconds of a time such as `90`, `30m` or `2h`.

    Raises:
        typer.BadParameter: It is none.
    """
    return _parsed(seconds, text)


def parse_limit(text: str | float) -> float:
    """Return the seconds of a time in which an agent could do something.

    Raises:
        typer.BadParameter: It is none, or too short.
    """
    found = parse_time(str(text))  # a default comes as the number that it is
    if found < LEAST_S:
        raise typer.BadParameter(f"{text} is too short; give at least {LEAST_S} seconds")
    return found


def parse_replays(text: str) -> int:
    """Return a number of fresh instances.

    Raises:
        typer.BadParameter: It is none, or less than 1.
    """
    if not text.isdecimal() or int(text) < 1:
        raise typer.BadParameter(
            f"{text!r} is no number of fresh instances; a cassette is played with --play FILE"
        )
    return int(text)


# --- tasks, trials, what is printed --------------------------------------------------------------

TaskOrFile = Annotated[
    str,
    typer.Argument(
        metavar="ID|FILE", help="A task id, or a task file.", autocompletion=complete_task
    ),
]
TasksDir = Annotated[
    list[Path] | None,
    typer.Option("--tasks-dir", help="A folder of task files of your own; may be repeated."),
]
TrialPlace = Annotated[
    Path, typer.Argument(metavar="RUN|SUITE", help="A trial, a folder of trials, a suite.")
]
WithAgent = Annotated[
    bool, typer.Option("--agent/--no-agent", help="Run the experiment agent too.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Track = Annotated[
    list[str] | None,
    typer.Option("--track", metavar="NAMES", help="Trackers to tell, such as mlflow,wandb."),
]

# --- an agent and where it runs ------------------------------------------------------------------

AgentsDir = Annotated[
    Path | None, typer.Option("--agents-dir", help="Where agents of your own lie.")
]
_RUNTIME = typer.Option(
    "--runtime", help="local, docker, bubblewrap or process (which has no walls)."
)
RuntimeName = Annotated[str | None, _RUNTIME]
KnownRuntime = Annotated[str, _RUNTIME]
_TIME_LIMIT = typer.Option(
    "--time-limit",
    metavar="TIME",
    parser=parse_limit,
    help="Of wall time for the agent, such as 90, 30m or 2h.",
)
TimeLimit = Annotated[float, _TIME_LIMIT]
TimeLimitIfAny = Annotated[float | None, _TIME_LIMIT]
Memory = Annotated[
    int | None,
    typer.Option("--memory", metavar="SIZE", parser=parse_size, help="Of one trial, such as 4g."),
]
Disk = Annotated[
    int | None,
    typer.Option("--disk", metavar="SIZE", parser=parse_size, help="Of one trial, such as 20g."),
]
Cpus = Annotated[float | None, typer.Option("--cpus", help="Of one trial, such as 1.5.", min=0.01)]
Gpus = Annotated[
    str | None, typer.Option("--gpus", help="Of one trial: all, a count, or ids such as 0,2.")
]
Network = Annotated[
    str | None, typer.Option("--network", help="none, host or bridge: what it may reach.")
]
Require = Annotated[
    list[str] | None,
    typer.Option("--require", help="A guarantee to be enforced or refused, such as network."),
]
_QUERIES = typer.Option("--feedback-queries", help="How often it may ask.", min=1)
Queries = Annotated[int, _QUERIES]
QueriesIfAny = Annotated[int | None, _QUERIES]
Replays = Annotated[
    int | None,
    typer.Option(
        "--replay",
        metavar="N",
        parser=parse_replays,
        help="Then run the saved solution again: on this data, and on N fresh draws.",
    ),
]

# --- models and what they may cost ---------------------------------------------------------------

Upstreams = Annotated[
    list[str] | None,
    typer.Option(
        "--upstream",
        metavar="[WIRE=]URL",
        help="Where the model is: any server that speaks OpenAI's API, or anthropic=URL. "
        "By default the providers whose key is set (OPENAI_API_KEY, ANTHROPIC_API_KEY).",
    ),
]
KeyEnv = Annotated[
    list[str] | None,
    typer.Option("--key-env", metavar="[WIRE=]NAME", help="The variable that holds the key."),
]
Models = Annotated[
    list[str] | None,
    typer.Option("--model", metavar="NAME[=NAME]", help="A model that may be used; repeatable."),
]
MaxRequests = Annotated[int | None, typer.Option("--max-requests", help="Calls to a model.", min=1)]
MaxTokens = Annotated[
    int | None, typer.Option("--max-tokens", help="Tokens, input and output.", min=1)
]
MaxCost = Annotated[float | None, typer.Option("--max-cost", help="US dollars.", min=0)]
PriceTable = Annotated[
    Path | None, typer.Option("--prices", help="Prices of models, in LiteLLM's form.")
]
Record = Annotated[Path | None, typer.Option("--record", help="Record a cassette.")]
Play = Annotated[Path | None, typer.Option("--play", help="Answer from a cassette only.")]
Loose = Annotated[
    bool,
    typer.Option("--loose", help="Play in order where a request is not the recorded one."),
]

# --- suites --------------------------------------------------------------------------------------

RUNS: Final = Path("runs")
"""Where trials and suites lie if the command line names no other place."""
Store = Annotated[Path, typer.Option("--out", help="The store: the folder that holds suites.")]
StoreUrl = Annotated[
    str | None,
    typer.Option(
        "--store",
        envvar="AEXP_STORE",
        metavar="URL",
        help="postgresql://user@host/database: the index of suites that several machines run.",
    ),
]
SuiteName = Annotated[
    str | None,
    typer.Argument(metavar="[SUITE]", help="A suite's id, the beginning of one, or its folder."),
]
ExecutorName = Annotated[
    str | None,
    typer.Option(
        "--executor", help="pool, dask, ray or slurm; at first pool, then as it was begun."
    ),
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", help="Trials at a time; at first one a core, then as it was begun."),
]
MaxTime = Annotated[
    float | None,
    typer.Option(
        "--max-time",
        metavar="TIME",
        parser=parse_time,
        help="Start no trial after so long, such as 90, 2h.",
    ),
]
SuiteTokens = Annotated[
    int | None,
    typer.Option(
        "--max-tokens", help="Of all trials together: no trial starts past it, none goes on.", min=1
    ),
]
SuiteCost = Annotated[
    float | None,
    typer.Option("--max-cost", help="Of all trials together, in US dollars; likewise.", min=0),
]
FailFast = Annotated[bool, typer.Option("--fail-fast", help="Stop at the first trial that fails.")]
