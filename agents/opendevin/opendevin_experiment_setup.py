"""Sets OpenHands up for an experiment: model, tools, workspace, limits; runs it to its end."""

import os
import sys
from pathlib import Path

from openhands.sdk import LLM, Agent, Conversation, Tool
from openhands.tools.file_editor import FileEditorTool
from openhands.tools.terminal import TerminalTool
from pydantic import SecretStr


def instructions() -> str:
    """Return what the agent is told: the task's own words, and where things are."""
    env = os.environ
    told = (Path(env["SUBMISSION_DIR"]).parent / "instructions.txt").read_text(encoding="utf-8")
    return (
        f"{told}\nThe data are in {env['DATA_DIR']}. Write the predictions to "
        f"{env['SUBMISSION_DIR']}/submission.csv and keep the code that makes them as "
        f"{env['CODE_DIR']}/solution.py."
    )


def main() -> int:
    """Run the agent; the file counts, not what it says of itself."""
    env = os.environ
    # The terminal sources the files of a shell; a home without any keeps its PATH as it is.
    env["HOME"] = env["TMPDIR"]
    llm = LLM(
        model=f"openai/{env.get('AEXP_MODEL', 'local')}",
        base_url=env["OPENAI_BASE_URL"],
        api_key=SecretStr(env["OPENAI_API_KEY"]),
        usage_id="agent",
    )
    terminal = Tool(name=TerminalTool.name, params={"terminal_type": "subprocess"})
    agent = Agent(llm=llm, tools=[terminal, Tool(name=FileEditorTool.name)])
    conversation = Conversation(
        agent=agent,
        workspace=f"{env['EXPERIMENT_DIR']}/workspace",
        persistence_dir=f"{env['LOGS_DIR']}/openhands",
        max_iteration_per_run=int(env.get("STEP_LIMIT", "50")),
        visualizer=None,
    )
    conversation.send_message(instructions())
    conversation.run()
    print("ended:", conversation.state.execution_status)
    conversation.close()
    written = Path(env["SUBMISSION_DIR"], "submission.csv").is_file()
    print("a submission was written" if written else "no submission was written")
    return 0 if written else 1


if __name__ == "__main__":
    sys.exit(main())
