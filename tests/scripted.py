"""A model that plays a script: it solves a small task over several steps, one of them failing.

It knows its agent by the tools in the request: `submit_review` is AIDE's, `bash` mini-swe-agent's,
`terminal` OpenHands'; without tools it is asked for a plan and code.
"""

import json

from tests.upstream import whole

SOLVER = """\
import csv, os
from collections import defaultdict

data, out = {data}, {out}
with open(data + "/train.csv", newline="") as file:
    train = list(csv.DictReader(file))
names = [name for name in train[0] if name not in ("id", "target")]
sums, counts = defaultdict(lambda: [0.0] * len(names)), defaultdict(int)
for row in train:
    counts[row["target"]] += 1
    for k, name in enumerate(names):
        sums[row["target"]][k] += float(row[name])
centres = {{label: [s / counts[label] for s in sums[label]] for label in sums}}
with open(data + "/test.csv", newline="") as file, open(out + "/submission.csv", "w") as target:
    print("id,target", file=target)
    for row in csv.DictReader(file):
        values = [float(row[name]) for name in names]
        far = lambda label: sum((a - b) ** 2 for a, b in zip(values, centres[label]))
        print(row["id"] + "," + min(sorted(centres), key=far), file=target)
print("accuracy by eye: 0.75")
"""
"""Nearest centre, with nothing but the standard library."""

HERE = {"data": 'os.environ["DATA_DIR"]', "out": 'os.environ["SUBMISSION_DIR"]'}
IN_AIDE = {"data": '"./input"', "out": '"./working"'}
FINISH = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"


def shell_steps():
    """What is typed, step by step: a mistake, the solution, its copy as code."""
    solution = SOLVER.format(**HERE)
    return [
        "python3 no_such_script.py",
        f"cat > $CODE_DIR/solution.py <<'PY'\n{solution}PY\npython3 $CODE_DIR/solution.py",
        'head -2 "$SUBMISSION_DIR/submission.csv"',
    ]


class Script:
    """Answers one agent; `answer` is what `FakeUpstream` calls."""

    def __init__(self):
        self.plans = 0
        self.reviews = 0

    def answer(self, handler, asked):
        body = asked.body
        tools = {tool.get("function", tool).get("name") for tool in body.get("tools") or ()}
        done = sum(message.get("role") == "assistant" for message in body["messages"])
        if "submit_review" in tools:
            message = self.review()
        elif "bash" in tools:
            message = self.shell("bash", done)
        elif "terminal" in tools:
            message = self.terminal(done)
        else:
            message = self.plan()
        whole(handler, completion(message))

    def shell(self, tool, done):
        steps = [*shell_steps(), FINISH]
        return call(tool, {"command": steps[min(done, len(steps) - 1)]})

    def terminal(self, done):
        steps = shell_steps()
        if done < len(steps):
            return call("terminal", {"command": steps[done], "security_risk": "LOW"})
        return call("finish", {"message": "submission.csv is written"})

    def plan(self):
        self.plans += 1
        code = SOLVER.format(**IN_AIDE) if self.plans != 1 else "import no_such_module\n"
        return {"role": "assistant", "content": f"I take the nearest centre.\n```python\n{code}```"}

    def review(self):
        self.reviews += 1
        bad = self.reviews == 1
        said = {
            "is_bug": bad,
            "summary": "it failed to import" if bad else "it works",
            "metric": None if bad else 0.75,
            "lower_is_better": False,
            "has_csv_submission": not bad,
        }
        return call("submit_review", said)


def call(name, arguments):
    function = {"name": name, "arguments": json.dumps(arguments)}
    tool = {"id": f"call_{name}", "type": "function", "function": function}
    return {"role": "assistant", "content": "Going on.", "tool_calls": [tool]}


def completion(message):
    reason = "tool_calls" if "tool_calls" in message else "stop"
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
    return {
        "id": "chatcmpl-scripted",
        "object": "chat.completion",
        "created": 1,
        "model": "scripted",
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": usage,
    }
