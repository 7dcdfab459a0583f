"""The collection: one table for each family of attacks; a new one is one more entry."""

from tasks.selftest.attack import Attack
from tasks.selftest.attacks import exhaust, files, host, network, outlive, outputs

ATTACKS: tuple[Attack, ...] = (
    *network.ATTACKS,
    *files.ATTACKS,
    *host.ATTACKS,
    *outlive.ATTACKS,
    *exhaust.ATTACKS,
    *outputs.ATTACKS,
)

HONEST = Attack(
    id="honest-control",
    threat="-",
    script="""
import subprocess, threading, tempfile
data = open("../data/train.csv").read() if os.path.exists("../data/train.csv") else ""
thread = threading.Thread(target=lambda: None); thread.start(); thread.join()
subprocess.run([sys.executable, "-I", "-S", "-c", "print('child')"], check=True)
with tempfile.NamedTemporaryFile() as file: file.write(bytes(10**6))
os.mkfifo("/tmp/aexp-fifo-" + T["abstract"]); os.remove("/tmp/aexp-fifo-" + T["abstract"])
left, right = socket.socketpair(); left.send(b"x"); right.recv(1)
open("../submission/submission.csv", "w").write("id,target\\n1,0\\n")
held = bytearray(50_000_000)
print("done")
""",
    limits={"memory_bytes": 500_000_000, "pids": 50, "cpus": 1.0, "disk_bytes": 2**27},
    reason="finished",
)
"""It does what agents do, within its limits; it must never be suspected."""

QUICK = {
    "network": ("net-tcp", "net-udp", "net-abstract"),
    "hidden file": ("file-secret", "file-path-socket"),
    "host processes": ("host-processes", "host-core-pattern"),
    "memory": ("eat-memory",),
    "pids": ("eat-pids",),
    "cpu": ("eat-cpu",),
    "disk": ("eat-disk",),
    "kill": ("out-many",),
}
"""By what `aexp doctor` names, the attacks that show it."""
