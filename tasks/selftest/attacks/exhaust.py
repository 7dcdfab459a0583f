"""M4: use more than allowed."""

from tasks.outcome import Outcome
from tasks.selftest.attack import Attack

_MEMORY = 150_000_000
_DISK = 20 * 2**20
_PIDS = 40
_CORES = 0.5
_SLACK = 1.4
_LOG = 2**16


def _slow(outcome: Outcome) -> str:
    used = outcome.cpu_seconds / max(outcome.seconds, 0.1)
    return f"used {used:.2f} cores of {_CORES}" if used > _CORES * _SLACK + 0.1 else ""


def _counted(outcome: Outcome) -> str:
    return "" if outcome.log_bytes >= 50 * 2**20 else "its output was not counted"


ATTACKS = (
    Attack(
        id="eat-memory",
        threat="M4",
        walls=("memory",),
        script="""
held = []
for _ in range(100): held.append(bytearray(os.urandom(10_000) * 1000))
gained("1 GB of memory")
""",
        limits={"memory_bytes": _MEMORY},
        reason="out of memory",
    ),
    Attack(
        id="eat-memory-together",
        threat="M4",
        walls=("memory",),
        script="""
for _ in range(8):
    if os.fork() == 0:
        held = bytearray(os.urandom(1000) * 50_000)
        time.sleep(60)
time.sleep(3)
alive = 8
while alive and os.waitpid(-1, os.WNOHANG)[0]: alive -= 1
if alive > 4: gained("memory for %d processes" % alive)
""",
        limits={"memory_bytes": _MEMORY},
    ),
    Attack(
        id="eat-shm",
        threat="M4",
        walls=("filesystem",),
        script="""
written = 0
for folder in ("/dev/shm", "/dev", "/run", "/dev/mqueue"):
    try:
        with open(folder + "/big", "wb", 0) as file:
            for _ in range(64): written += file.write(bytes(2**20))
    except OSError: pass
if written > 20 * 2**20: gained("%d MiB of shared memory" % (written >> 20))
""",
        limits={"shm_bytes": 16 * 2**20, "memory_bytes": None},
    ),
    Attack(
        id="eat-tmp",
        threat="M4",
        walls=("memory", "filesystem"),
        script="""
with open("/tmp/big", "wb", 0) as file:
    try:
        for _ in range(600): file.write(bytes(2**20))
    except OSError: os._exit(1)
gained("600 MiB of memory by files in /tmp")
""",
        limits={"memory_bytes": _MEMORY, "disk_bytes": 2**30},
    ),
    Attack(
        id="eat-pids",
        threat="M4",
        walls=("pids",),
        script="""
count = 0
try:
    for count in range(400):
        if os.fork() == 0: time.sleep(60)
except OSError: pass
if count > 60: gained("%d processes" % count)
""",
        limits={"pids": _PIDS, "time_s": 4.0},
    ),
    Attack(
        id="eat-threads",
        threat="M4",
        walls=("pids",),
        script="""
import threading
count = 0
try:
    for count in range(400): threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
except RuntimeError: pass
if count > 60: gained("%d threads" % count)
os._exit(0)
""",
        limits={"pids": _PIDS, "time_s": 4.0},
    ),
    Attack(
        id="eat-fork-bomb",
        threat="M4",
        walls=("pids",),
        script="""
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    try: os.fork()
    except OSError: time.sleep(0.01)
""",
        limits={"pids": _PIDS, "time_s": 1.0, "grace_s": 0.2},
    ),
    Attack(
        id="eat-cpu",
        threat="M4",
        walls=("cpu",),
        script="""
os.fork()
until = time.monotonic() + 0.8
while time.monotonic() < until: pass
""",
        limits={"cpus": _CORES},
        judge=_slow,
    ),
    Attack(
        id="eat-disk",
        threat="M4",
        walls=("disk",),
        script="""
for number in range(1000):
    open("file%d" % number, "wb").write(bytes(2**20))
    time.sleep(0.005)
gained("1 GB of disk")
""",
        limits={"disk_bytes": _DISK},
        reason="disk full",
    ),
    Attack(
        id="eat-one-file",
        threat="M4",
        walls=("disk",),
        script="""
file = open("big", "wb", 0)
try:
    while file.tell() < 2**30: file.write(bytes(2**20))
except OSError: os._exit(1)
gained("a file of 1 GiB")
""",
        limits={"disk_bytes": _DISK},
    ),
    Attack(
        id="eat-sparse",
        threat="M4",
        walls=("disk",),
        script="attempt('a sparse file of 10 GB', os.truncate, os.open('s', 66), 10**10)",
        limits={"disk_bytes": _DISK},
    ),
    Attack(
        id="eat-log",
        threat="M4",
        script="""
block = b"x" * 2**20  # one line without an end
for _ in range(50):
    left = block
    while left: left = left[os.write(1, left):]
""",
        limits={"log_bytes": _LOG},
        reason="finished",
        judge=_counted,
    ),
    Attack(
        id="eat-names",
        threat="M4",
        script="""
for number in range(3000): open("../logs/%d-" % number + "n" * 200, "w").close()
deep = "../models/"
try:
    for _ in range(200):
        deep += "d/"
        os.mkdir(deep)
except OSError: pass
""",
        limits={"output_files": 1000},
    ),
)
