"""M3, C15: go on after the end."""

from tasks.outcome import Outcome
from tasks.selftest.attack import Attack

_SHORT = {"time_s": 1.0, "grace_s": 0.2}


def _counted(outcome: Outcome) -> str:
    return "" if outcome.killed_processes >= 1 else "what it left running was not counted"


ATTACKS = (
    Attack(
        id="out-daemon",
        threat="M3",
        script="""
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 3)
        time.sleep(60)
    os._exit(0)
os.wait()
time.sleep(0.5)
""",
        judge=_counted,
    ),
    Attack(
        id="out-deaf",
        threat="M3",
        script="""
for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)
while True: time.sleep(1)
""",
        limits=_SHORT,
        reason="timed out",
    ),
    Attack(
        id="out-stopped",
        threat="M3",
        script="os.kill(os.getpid(), signal.SIGSTOP)",
        limits=_SHORT,
        reason="timed out",
    ),
    Attack(
        id="out-respawn",
        threat="M3",
        script="""
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for _ in range(4):
    if os.fork() == 0:
        while True:
            if os.getpid() != os.getsid(0): os.setsid()
            if os.fork(): os._exit(0)
            time.sleep(0.002)
time.sleep(60)
""",
        limits=_SHORT,
        reason="timed out",
    ),
    Attack(
        id="out-busy",
        threat="M3",
        script="""
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for _ in range(60):
    if os.fork() == 0:
        os.setsid()  # a share of the cores of its own
        while True: pass
while True: time.sleep(1)
""",
        limits=_SHORT,
        reason="timed out",
    ),
    Attack(
        id="out-many",
        threat="M3",
        script="""
for _ in range(200):
    if os.fork() == 0:
        os.setsid()
        time.sleep(60)
time.sleep(60)
""",
        limits=_SHORT,
        reason="timed out",
    ),
    Attack(
        id="out-unmarked",
        threat="M3",
        walls=("filesystem",),
        script="""
if os.fork() == 0:
    os.setsid()
    os.execve("/bin/sleep", ["sleep", "61"], {})
time.sleep(60)
""",
        limits=_SHORT,
        reason="timed out",
    ),
    Attack(
        id="out-pretend",
        threat="C15",
        script="""
open("../deadline", "w").write("9999999999\\n")
os.environ["TIME_LIMIT_SECS"] = "999999"
if os.fork() == 0:
    os.environ["TIME_LIMIT_SECS"] = "999999"
    os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", "import time; time.sleep(60)"])
time.sleep(60)
""",
        limits=_SHORT,
        reason="timed out",
    ),
    Attack(
        id="out-kill-walls",
        threat="M3",
        walls=("filesystem",),
        script="""
if os.fork() == 0:
    os.setsid()
    time.sleep(60)
for pid in (os.getppid(), 1):
    for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGKILL):
        try: os.kill(pid, number)
        except OSError: pass
time.sleep(60)
""",
        limits=_SHORT,
    ),
)
