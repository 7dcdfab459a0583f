"""An agent's image by MLE-bench's own call sequence, for images that need all of it.

The image's entrypoint runs as root and serves validation, `start.sh` is run beside it as `nonroot`,
and what it leaves is copied out of the container. Less is enforced than by `DockerRuntime`: the
root can be written, the engine's default capabilities stay, only the network, memory, processes,
cores and time are limited.
"""

import os
import select
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any, Final

from tasks.errors import InfrastructureError
from tasks.outcome import Limits, Mechanisms, Reason
from tasks.runtimes import engine, procfs
from tasks.runtimes.base import Cancel
from tasks.runtimes.docker import IMAGE, DockerRuntime
from tasks.runtimes.docker_command import HOME, LABEL_RUNNER, LABEL_TRIAL, cgroup_limits, mount
from tasks.runtimes.log import RunLog
from tasks.workspace import Workspace

HEALTH: Final = "while ! curl -s http://localhost:5000/health > /dev/null; do sleep 0.2; done"
EXTRACTED: Final = ("submission", "logs", "code")
"""What MLE-bench extracts."""

ALSO_EXTRACTED: Final = ("experiments/results", "experiments/models")
"""What the spec's agents leave besides."""

_POLL_MS = 50
_HEALTH_S = "60s"
_OURS: Final = ("PATH", "HOME", "DOCKER_")
"""Variables that mean something to the engine's own command."""


class MleBenchRuntime(DockerRuntime):
    """Runs the command by `docker exec` in a container that MLE-bench's entrypoint keeps alive."""

    name = "docker"

    def enforces(self, limits: Limits) -> Mechanisms:
        """Return what `Runtime.enforces` says."""
        program = Path(self.engine.program).name
        return {**super().enforces(limits), "disk": None, "time": f"{program} kill"}

    def _prepare(self, workspace: Workspace) -> None:
        """Make nothing: what the command leaves in its container is copied into the home."""

    def _contain(
        self,
        command: Sequence[str],
        workspace: Workspace,
        env: Mapping[str, str],
        limits: Limits,
        *,
        log: RunLog,
        cancel: Cancel | None,
    ) -> dict[str, Any]:
        """Run the command beside MLE-bench's entrypoint; return the fields of the outcome."""
        name = engine.container_name(workspace)
        try:
            self._start(name, workspace, env, limits)
            self._bring(name, workspace)
            env = {**env, "TASK_CONFIG": f"{HOME}/data/task_config.json"}
            reason, status, detail, seconds = self._execute(
                name, command, env, limits, log=log, cancel=cancel
            )
            self.engine.kill(name)
            if self._is_out_of_memory(name) and status != 0:
                reason, detail = "out of memory", "the engine says that it ran out of memory"
            self._extract(name, workspace)
        finally:
            if not self.retain:
                self.engine.remove(name)
        return {"reason": reason, "exit_code": status, "seconds": seconds, "detail": detail}

    def _start(
        self, name: str, workspace: Workspace, env: Mapping[str, str], limits: Limits
    ) -> None:
        """Create and start the container; wait for its server."""
        image = self.image or IMAGE
        done = self.engine.ask(*self._creation(name, workspace, env, limits, image))
        if done.returncode != 0:
            raise self.engine.refusal(done.stderr, image)
        self.engine.answer("start", name)
        health = self.engine.ask(
            "exec", name, "timeout", _HEALTH_S, "sh", "-c", HEALTH, patience_s=90
        )
        if health.returncode != 0:
            raise InfrastructureError(
                f"{image}: its validation server did not start within {_HEALTH_S}: does its "
                "entrypoint run /entrypoint.sh of mlebench-env?"
            )

    def _creation(
        self, name: str, workspace: Workspace, env: Mapping[str, str], limits: Limits, image: str
    ) -> list[str]:
        words = ["create", "--pull=never", "--name", name, "--network", limits.network]
        words += ["--label", f"{LABEL_TRIAL}={name}"]
        words += ["--label", f"{LABEL_RUNNER}={engine.this_runner()}"]
        words += cgroup_limits(limits)
        words += ["--runtime", self.oci_runtime] if self.oci_runtime else []
        words += ["--mount", mount(workspace.public, f"{HOME}/data", readonly=True)]
        return [*words, "--env", f"COMPETITION_ID={env.get('COMPETITION_ID', '')}", image]

    def commands(
        self,
        command: Sequence[str],
        workspace: Workspace,
        env: Mapping[str, str],
        limits: Limits,
        name: str,
    ) -> Iterator[list[str]]:
        """Yield the engine's command lines for a trial, in their order."""
        program = self.engine.program
        yield [program, *self._creation(name, workspace, env, limits, self.image or IMAGE)]
        yield [program, "start", name]
        yield [program, "cp", f"{workspace.home / 'agent'}/.", f"{name}:{HOME}/agent"]
        variables = (word for key in _passed(env) for word in ("--env", key))
        yield [program, "exec", "--user", "nonroot", *variables, name, *command]
        for folder in (*EXTRACTED, *ALSO_EXTRACTED):
            yield [program, "cp", f"{name}:{HOME}/{folder}/.", str(workspace.home / folder)]
        yield [program, "rm", "--force", name]

    def _bring(self, name: str, workspace: Workspace) -> None:
        """Copy what the agent is started with into its container: the image need not hold it."""
        agent = workspace.home / "agent"
        if any(agent.iterdir()):
            self.engine.answer("cp", f"{agent}/.", f"{name}:{HOME}/agent")

    def _execute(
        self,
        name: str,
        command: Sequence[str],
        env: Mapping[str, str],
        limits: Limits,
        *,
        log: RunLog,
        cancel: Cancel | None,
    ) -> tuple[Reason, int | None, str, float]:
        """Run the command in the started container, to its end or to a limit."""
        # By name only: values, keys among them, are on no command line.
        hidden = _passed(env)
        words = [self.engine.program, "exec", "--user", "nonroot"]
        words += [word for key in hidden for word in ("--env", key)]
        started = monotonic()
        process = subprocess.Popen(
            [*words, name, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **hidden},
            start_new_session=True,
        )
        with process:
            reason, detail = self._follow(process, name, limits, log, cancel)
        seconds = monotonic() - started
        if reason is not None:
            return reason, None, detail, seconds
        status = process.returncode
        ended: Reason = "finished" if status == 0 else "agent error"
        return ended, status, procfs.ending(status), seconds

    def _follow(
        self,
        process: "subprocess.Popen[bytes]",
        name: str,
        limits: Limits,
        log: RunLog,
        cancel: Cancel | None,
    ) -> tuple[Reason | None, str]:
        """Drain the output; end the command at a limit; return why, if so."""
        if process.stdout is None:
            raise InfrastructureError(f"{self.engine.program}: started without pipes")
        pipe = process.stdout.fileno()
        os.set_blocking(pipe, False)
        poll = select.poll()
        poll.register(pipe, select.POLLIN)
        deadline, kill_at = monotonic() + limits.time_s, float("inf")
        reason: Reason | None = None
        detail = ""
        while True:
            ready = poll.poll(_POLL_MS)
            more = bool(ready) and log.take(pipe)
            if process.poll() is not None and not more:
                return reason, detail
            now = monotonic()
            wanted = "" if cancel is None else cancel.wanted
            if reason is None and (wanted or now >= deadline):
                reason = "cancelled" if wanted else "timed out"
                detail = "" if wanted else f"the limit was {limits.time_s:g} s"
                kill_at = now + limits.grace_s
                self.engine.ask("exec", "--user", "nonroot", name, "sh", "-c", "kill -TERM -1")
            if now >= kill_at or wanted == "kill":
                self.engine.kill(name)
                kill_at = float("inf")

    def _is_out_of_memory(self, name: str) -> bool:
        words = ("container", "inspect", "--format", "{{.State.OOMKilled}}", name)
        return self.engine.ask(*words).stdout.strip() == "true"

    def _extract(self, name: str, workspace: Workspace) -> None:
        """Copy what is extracted out of the dead container, links as links."""
        for folder in (*EXTRACTED, *ALSO_EXTRACTED):
            target = workspace.home / folder
            target.mkdir(parents=True, exist_ok=True)
            done = self.engine.ask("cp", f"{name}:{HOME}/{folder}/.", str(target), patience_s=600)
            missing = "Could not find" in done.stderr or "no such" in done.stderr.lower()
            if done.returncode != 0 and not missing:
                raise self.engine.refusal(done.stderr, name)


def _passed(env: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that the agent is given."""
    return {key: value for key, value in env.items() if not key.startswith(_OURS)}
