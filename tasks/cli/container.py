"""What of `run` is about containers: which image, which engine's flags, and showing them."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.cli import console
from tasks.errors import UsageError

if TYPE_CHECKING:
    from tasks.agents import AgentSpec
    from tasks.outcome import Limits
    from tasks.runtimes.base import Runtime
    from tasks.spec import Task


def contained(
    name: str, limits: "Limits", *, container_config: Path | None, **chosen: Any
) -> "tuple[str | Runtime, Limits]":
    """Return the runtime of a name, set up as the options of `run` ask, and the limits.

    Raises:
        UsageError: Options for containers were given, and the runtime has none.
        InvalidInput: The container config cannot be obeyed.
    """
    given = {key: value for key, value in chosen.items() if value}
    if container_config is not None:
        given["container_config"] = container_config
    if name != "docker":
        if given:
            option = next(iter(given)).replace("_", "-")
            raise UsageError(f"--{option} is for containers; the runtime is {name}")
        return name, limits
    from tasks.runtimes.docker import DockerRuntime
    from tasks.runtimes.docker_command import with_container_config
    from tasks.runtimes.mle_bench import MleBenchRuntime

    oci_runtime = None
    if container_config is not None:
        limits, oci_runtime = with_container_config(container_config, limits)
    kind = MleBenchRuntime if chosen.get("mle_bench") else DockerRuntime
    runtime = kind(chosen.get("image"), retain=bool(chosen.get("retain")), oci_runtime=oci_runtime)
    if not chosen.get("dry_run"):
        runtime.check()
    return runtime, limits


def show(runtime: "Runtime | str", task: "Task", agent: "AgentSpec", limits: "Limits") -> None:
    """Print the engine's command line for a trial, and start nothing.

    Raises:
        UsageError: The runtime has no such command line.
    """
    from tasks import home
    from tasks.runtimes.docker import IMAGE, DockerRuntime
    from tasks.runtimes.mle_bench import MleBenchRuntime
    from tasks.workspace import Workspace

    if not isinstance(runtime, DockerRuntime):
        raise UsageError("--dry-run is for containers; add --runtime docker")
    if runtime.image is None:
        runtime.image = agent.image or IMAGE
    workspace = Workspace(Path("runs").resolve() / "TRIAL")
    inside = home.seen(workspace, runtime.home)
    command = agent.start(inside / "agent")
    env = home.environment(
        workspace, task, limits, agent.env, runtime.home, host_programs=runtime.host_programs
    )
    if isinstance(runtime, MleBenchRuntime):
        for words in runtime.commands(command, workspace, env, limits, "aexp-TRIAL"):
            console.out(shlex.join(words))
        return
    console.out(shlex.join(runtime.command(command, workspace, limits, "aexp-TRIAL")))
    console.say(f"on its standard input, as JSON, the variables: {', '.join(sorted(env))}")
