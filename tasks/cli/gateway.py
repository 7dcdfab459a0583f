"""`gateway`: the door to a model on its own, without a trial."""

import shlex
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tasks.cli import console
from tasks.cli.options import (
    KeyEnv,
    Loose,
    MaxCost,
    MaxRequests,
    MaxTokens,
    Models,
    Play,
    PriceTable,
    Record,
    Upstreams,
)

if TYPE_CHECKING:
    from tasks.gateway import Access
    from tasks.gateway.server import Setup


def granted(  # one argument an option
    upstream: list[str] | None,
    key_env: list[str] | None,
    *,
    max_requests: int | None = None,
    max_tokens: int | None = None,
    max_cost: float | None = None,
    prices: Path | None = None,
    record: Path | None = None,
    play: Path | None = None,
    loose: bool = False,
    **further: Any,
) -> "Access | None":
    """Return the grant that these options ask for; None, the default one, if there are none."""
    asked = (upstream, key_env, max_requests, max_tokens, max_cost, prices, record, play)
    if all(value is None for value in asked) and not loose and not further:
        return None  # a server is a lot to load for a run that asks for no model
    from tasks.gateway import Access, Policy, by_wire

    return Access(
        urls=by_wire(upstream or (), "--upstream"),
        key_env=by_wire(key_env or (), "--key-env"),
        policy=Policy(requests=max_requests, tokens=max_tokens, cost_usd=max_cost, **further),
        prices=prices,
        record=record,
        replay=play,
        loose=loose,
    )


def models_named(words: list[str] | None) -> dict[str, str]:
    """Return what `--model` grants, by the name the agent calls it."""
    if not words:
        return {}
    from tasks.gateway import named_models

    return named_models(words)


def gateway(
    *,
    upstream: Upstreams = None,
    key_env: KeyEnv = None,
    model: Models = None,
    max_requests: MaxRequests = None,
    max_tokens: MaxTokens = None,
    max_cost: MaxCost = None,
    max_seconds: Annotated[float | None, typer.Option(help="Seconds from now.", min=0)] = None,
    per_minute: Annotated[int | None, typer.Option(help="Calls a minute.", min=1)] = None,
    concurrency: Annotated[int, typer.Option(help="Calls at once.", min=1)] = 16,
    hosted: Annotated[
        bool, typer.Option("--hosted", help="Let the provider run tools and fetch links.")
    ] = False,
    prices: PriceTable = None,
    record: Record = None,
    play: Play = None,
    loose: Loose = False,
    log: Annotated[Path | None, typer.Option("--log", help="Write each call as JSON.")] = None,
    port: Annotated[int, typer.Option(help="On 127.0.0.1; 0 for any.", min=0, max=65535)] = 0,
) -> None:
    """Serve a model's API: the key stays here, calls are counted, limited, recorded, replayed.

    Prints the variables that point an agent at it, serves until Ctrl-C, then prints the sums.
    """
    from tasks.gateway import Access

    grant = granted(
        upstream,
        key_env,
        max_requests=max_requests,
        max_tokens=max_tokens,
        max_cost=max_cost,
        prices=prices,
        record=record,
        play=play,
        loose=loose,
        seconds=max_seconds,
        requests_per_minute=per_minute,
        concurrency=concurrency,
        hosted=hosted,
    )
    _serve((grant or Access()).setup(models_named(model), ledger=log), port)


def _serve(setup: "Setup", port: int) -> None:
    from tasks.gateway import Gateway

    stop = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)  # before the thread, which inherits it
    try:
        with Gateway(setup) as door:
            base = f"http://127.0.0.1:{door.start_tcp(port=port)}"
            for name, value in {
                "OPENAI_BASE_URL": f"{base}/v1",
                "OPENAI_API_KEY": door.setup.token,
                "ANTHROPIC_BASE_URL": base,
                "ANTHROPIC_API_KEY": door.setup.token,
            }.items():
                print(f"export {name}={shlex.quote(value)}", flush=True)
            console.say("serving; Ctrl-C ends it")
            signal.sigwait(stop)
        console.out_json(door.summary())
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, stop)
