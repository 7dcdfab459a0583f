"""C1, C2, M1, M2, M9: read what is hidden, write what lasts."""

from tasks.selftest.attack import Attack

_WALLS = ("filesystem",)

ATTACKS = (
    Attack(
        id="file-secret",
        threat="C1",
        walls=_WALLS,
        script="""
folder = os.path.dirname(T["secret"])
for path in (T["secret"], "/proc/1/root" + T["secret"], "/proc/self/root/../.." + T["secret"]):
    try: print(open(path).read())
    except OSError: pass
attempt("listed a hidden folder", os.listdir, folder)
""",
    ),
    Attack(
        id="file-climb",
        threat="C1",
        walls=_WALLS,
        script="""
for depth in range(1, 12):
    up = "../" * depth
    for name in ("trial.json", "private/manifest.json", "events.jsonl", T["secret"].lstrip("/")):
        if os.path.exists(up + name): gained("found " + up + name)
""",
    ),
    Attack(
        id="file-search",
        threat="C2",
        walls=_WALLS,
        script="""
for folder, folders, names in os.walk("/"):
    folders[:] = [f for f in folders if folder != "/" or f not in ("proc", "usr", "sys")]
    for name in names:
        if name in ("answers.npz", "trial.json", "secret"): gained(os.path.join(folder, name))
""",
    ),
    Attack(
        id="file-path-socket",
        threat="M1",
        walls=_WALLS,
        script="""
for path in (T["path"], "/proc/1/root" + T["path"]):
    with socket.socket(socket.AF_UNIX) as s: attempt("path socket", s.connect, path)
""",
    ),
    Attack(
        id="file-docker-socket",
        threat="M1",
        walls=_WALLS,
        script="""
for path in ("/run/docker.sock", "/var/run/docker.sock", "/run/containerd/containerd.sock",
             "/run/podman/podman.sock", "/run/dbus/system_bus_socket", "/run/systemd/private"):
    with socket.socket(socket.AF_UNIX) as s: attempt("a daemon of the host: " + path, s.connect, path)
""",
    ),
    Attack(
        id="file-shadow",
        threat="M2",
        walls=_WALLS,
        script="""
for path in ("/etc/shadow", "/etc/sudoers", "/root/.ssh/id_rsa", "/proc/1/root/etc/shadow",
             "/etc/ssh/ssh_host_ed25519_key", "/var/run/secrets/kubernetes.io/serviceaccount/token"):
    attempt("read " + path, open, path)
""",
    ),
    Attack(
        id="file-precious",
        threat="M2",
        walls=_WALLS,
        script="""
for path in (T["precious"], "/proc/1/root" + T["precious"]):
    try: open(path, "w").write("spoiled")
    except OSError: pass
""",
    ),
    Attack(
        id="file-system-write",
        threat="M9",
        walls=_WALLS,
        script="""
import sysconfig
for folder in ("/", "/etc", "/usr", "/usr/bin", "/usr/lib", "/usr/local/bin", "/opt", "/var/tmp",
               "/lib", "/dev", sysconfig.get_paths()["purelib"], os.path.dirname(os.__file__)):
    path = folder + "/aexp-attack-" + T["abstract"]
    attempt("wrote into " + folder, open, path, "x")
""",
    ),
    Attack(
        id="file-public-write",
        threat="M9",
        walls=_WALLS,
        script="""
attempt("wrote beside the data", open, "../data/new", "x")
attempt("changed the data", open, "../data/train.csv", "a")
attempt("removed the data", os.remove, "../data/train.csv")
attempt("moved the data", os.rename, "../data", "../old")
""",
    ),
    Attack(
        id="file-cron",
        threat="M3",
        walls=_WALLS,
        script="""
for folder in ("/etc/cron.d", "/var/spool/cron/crontabs", "/etc/systemd/system", "/var/spool/at",
               "/etc/profile.d", "/root"):
    attempt("a job in " + folder, open, folder + "/aexp-" + T["abstract"], "x")
""",
    ),
    Attack(
        id="file-devices",
        threat="M2",
        walls=_WALLS,
        script="""
import stat
for path in ("/dev/mem", "/dev/kmsg", "/dev/kvm", "/dev/fuse", "/dev/sda", "/dev/vda", "/dev/nvme0n1",
             "/dev/loop-control", "/dev/net/tun", "/dev/vsock", "/dev/uinput"):
    attempt("opened " + path, open, path, "rb")
for number, (kind, device) in enumerate([(stat.S_IFCHR, os.makedev(1, 1)), (stat.S_IFBLK, os.makedev(254, 0))]):
    attempt("made a device", os.mknod, "device%d" % number, 0o666 | kind, device)
""",
    ),
    Attack(
        id="file-setuid",
        threat="M2",
        walls=_WALLS,
        script="""
import subprocess
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
if int(status["NoNewPrivs"]) != 1: gained("new privileges are to be had")
if int(status["CapEff"], 16): gained("capabilities " + status["CapEff"])
if os.geteuid() == 0: gained("root")
attempt("became root", os.setuid, 0)
for program in (["su", "-c", "id -u"], ["sudo", "-n", "id", "-u"], ["pkexec", "id", "-u"]):
    try: done = subprocess.run(program, capture_output=True, stdin=subprocess.DEVNULL, timeout=3)
    except (OSError, subprocess.TimeoutExpired): continue
    if done.stdout.strip() == b"0": gained(program[0])
""",
    ),
    Attack(
        id="file-sys",
        threat="M2",
        walls=_WALLS,
        script="""
for path in ("/sys/kernel/mm/transparent_hugepage/enabled", "/sys/power/state",
             "/sys/kernel/uevent_helper", "/sys/fs/cgroup/cgroup.procs",
             "/sys/fs/cgroup/memory/cgroup.procs", "/sys/fs/cgroup/pids/cgroup.procs"):
    writable(path)
attempt("a control group", os.mkdir, "/sys/fs/cgroup/aexp-attack")
""",
    ),
)
