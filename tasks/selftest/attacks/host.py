"""M2: the host's processes and kernel."""

from tasks.selftest.attack import Attack

_WALLS = ("filesystem",)


def _calls(name: str, what: str, lines: str, *, mechanism: str = "") -> Attack:
    """Return an attack by system calls, each of which must fail."""
    return Attack(
        id=f"host-{name}",
        threat="M2",
        walls=_WALLS,
        mechanism=mechanism,
        script=f"WHAT = {what!r}\n{lines}",
    )


ATTACKS = (
    Attack(
        id="host-processes",
        threat="M2",
        walls=_WALLS,
        script="""
for name in os.listdir("/proc"):
    if name.isdigit():
        for file in ("environ", "cmdline"):
            try: print(open(f"/proc/{name}/{file}").read())
            except OSError: pass
        try: command = open(f"/proc/{name}/cmdline").read()
        except OSError: continue
        if command.startswith("sleep\\x003600"): gained("sees a process of the host")
""",
    ),
    Attack(
        id="host-signal",
        threat="M2",
        walls=_WALLS,
        script="""
for number in (signal.SIGTERM, signal.SIGKILL):
    try: os.kill(T["bystander"], number)
    except OSError: pass
if os.getpid() < 50:  # certainly in a namespace of its own
    for pid in range(1, 50):
        if pid != os.getpid():
            try: os.kill(pid, signal.SIGKILL)
            except OSError: pass
""",
    ),
    Attack(
        id="host-core-pattern",
        threat="M2",
        walls=_WALLS,
        script="""
for name in ("core_pattern", "modprobe", "hotplug", "sysrq"):
    writable("/proc/sys/kernel/" + name)
""",
    ),
    Attack(
        id="host-proc-writes",
        threat="M2",
        walls=_WALLS,
        script="""
for path in ("/proc/sysrq-trigger", "/proc/sys/vm/drop_caches", "/proc/sys/vm/overcommit_memory",
             "/proc/sys/fs/file-max", "/proc/sys/kernel/hostname", "/proc/1/oom_score_adj", "/proc/irq/0"):
    writable(path)
for path in ("/proc/kcore", "/proc/kmsg", "/proc/kallsyms/x"):
    attempt("read " + path, open, path, "rb")
""",
    ),
    Attack(
        id="host-parent",
        threat="M2",
        walls=_WALLS,
        script="""
import resource
for pid in (1, os.getppid()):
    for name in ("mem", "fd/0", "root" + T["secret"]):
        try: open(f"/proc/{pid}/{name}", "rb").read(10)
        except OSError: continue
        if name != "fd/0" and pid != os.getpid() and name == "root" + T["secret"]: gained(name)
""",
    ),
    Attack(
        id="host-hostname",
        threat="M2",
        walls=_WALLS,
        script="attempt('renamed the host', socket.sethostname, 'mine')",
    ),
    Attack(
        id="host-clock",
        threat="C6",
        walls=_WALLS,
        script="""
attempt("set the clock", time.clock_settime, time.CLOCK_REALTIME, time.time())
if syscall("adjtimex", ctypes.create_string_buffer(b"\\1" + bytes(300))) >= 0: gained("adjusted the clock")
""",
    ),
    Attack(
        id="host-terminal",
        threat="M7",
        walls=_WALLS,
        script="""
import fcntl
def push():
    for letter in b"id\\n": fcntl.ioctl(open("/dev/tty", "rb"), 0x5412, bytes([letter]))
attempt("typed into the terminal", push)
""",
    ),
    Attack(
        id="host-priority",
        threat="M4",
        walls=_WALLS,
        script="""
attempt("went before others", os.nice, -5)
attempt("a real-time schedule", os.sched_setscheduler, 0, os.SCHED_FIFO, os.sched_param(1))
""",
    ),
    _calls(
        "ptrace",
        "traced a process",
        """
for pid in (1, os.getppid(), T["bystander"]):
    if pid > 0 and syscall("ptrace", 16, pid, 0, 0) == 0: gained(WHAT)
""",
    ),
    _calls(
        "memory",
        "read another process's memory",
        """
buffer = ctypes.create_string_buffer(16)
class Vec(ctypes.Structure): _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
vec = Vec(ctypes.addressof(buffer), 16)
for name in ("process_vm_readv", "process_vm_writev"):
    if syscall(name, 1, ctypes.byref(vec), 1, ctypes.byref(vec), 1, 0) >= 0: gained(WHAT)
""",
    ),
    _calls(
        "namespaces",
        "made a namespace",
        """
for flag in (0x10000000, 0x00020000, 0x20000000, 0x40000000, 0x08000000, 0x04000000, 0x02000000):
    child = os.fork()
    if child == 0:
        if syscall("unshare", flag) == 0: gained(WHAT)
        os._exit(0)
    os.waitpid(child, 0)
libc = ctypes.CDLL(None, use_errno=True)
class Args(ctypes.Structure): _fields_ = [(n, ctypes.c_uint64) for n in "fpcesStXYZW"]
args = Args(0x10000000, 0, 0, 0, 17)
pid = libc.syscall(435, ctypes.byref(args), 64)
if pid >= 0: gained(WHAT + " by clone3")
if pid == 0: os._exit(0)
""",
    ),
    _calls(
        "mount",
        "mounted",
        """
if syscall("mount", b"none", b"/tmp", b"tmpfs", 0, None) == 0: gained(WHAT)
if syscall("mount", b"none", b"/proc", None, 32, None) == 0: gained("remounted /proc writable")
if syscall("umount2", b"/home/data", 2) == 0: gained("unmounted the data")
if syscall("fsopen", b"tmpfs", 0) >= 0: gained("opened a file system")
if syscall("open_tree", -100, b"/", 1) >= 0: gained("cloned a tree")
if syscall("pivot_root", b".", b".") == 0: gained("changed the root")
if syscall("chroot", b".") == 0: gained("changed the root")
""",
    ),
    _calls(
        "io-uring",
        "an io_uring",
        """
if syscall("io_uring_setup", 8, ctypes.create_string_buffer(248)) >= 0: gained(WHAT)
""",
        mechanism="seccomp",  # the profiles of older engines let it through
    ),
    _calls(
        "keys",
        "a key of the kernel's keyring",
        """
if syscall("add_key", b"user", b"aexp", b"x", 1, -3) >= 0: gained(WHAT)
if syscall("keyctl", 0, -3, 1) >= 0: gained(WHAT)
if syscall("request_key", b"user", b"aexp", None, -3) >= 0: gained(WHAT)
""",
    ),
    _calls(
        "bpf",
        "a program in the kernel",
        """
if syscall("bpf", 0, ctypes.create_string_buffer(128), 128) >= 0: gained(WHAT)
attributes = ctypes.create_string_buffer(b"\\1\\0\\0\\0\\x80\\0\\0\\0" + bytes(120))
if syscall("perf_event_open", attributes, 0, -1, -1, 0) >= 0: gained("a performance counter")
if syscall("userfaultfd", 1) >= 0: gained("a page-fault handler")
""",
    ),
    _calls(
        "modules",
        "a kernel module",
        """
for name in ("init_module", "finit_module", "delete_module", "kexec_load", "swapon", "acct"):
    if syscall(name, 0, 0, 0, 0) == 0: gained(name)
if syscall("syslog", 3, ctypes.create_string_buffer(4096), 4096) > 0: gained("the kernel's log")
""",
    ),
    _calls(
        "handles",
        "a file by its handle",
        """
handle = ctypes.create_string_buffer(b"\\x08\\0\\0\\0\\1\\0\\0\\0\\2" + bytes(100))
if syscall("open_by_handle_at", os.open("/", os.O_RDONLY), handle, 0) >= 0: gained(WHAT)
if syscall("fanotify_init", 0, 0) >= 0: gained("watches files")
""",
    ),
    _calls(
        "32-bit",
        "system calls of another architecture",
        """
if sys.maxsize > 2**32 and os.uname().machine == "x86_64":
    child = os.fork()
    if child == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syscall(0x40000000 + 39) > 0: gained("x32 calls")
        os._exit(0)
    os.waitpid(child, 0)
""",
    ),
)
