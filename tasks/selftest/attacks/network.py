"""M1: reach the host, or anything through it."""

from tasks.selftest.attack import Attack

_WALLS = ("network",)

ATTACKS = (
    Attack(
        id="net-tcp",
        threat="M1",
        walls=_WALLS,
        script="""
for address in T["addresses"]:
    attempt("TCP to " + address, socket.create_connection, (address, T["port"]), 0.5)
""",
    ),
    Attack(
        id="net-udp",
        threat="M1",
        walls=_WALLS,
        script="""
for address in T["addresses"]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try: s.sendto(b"x", (address, T["port"]))
        except OSError: pass
time.sleep(0.1)
""",
    ),
    Attack(
        id="net-dns",
        threat="M1",
        walls=_WALLS,
        script="""
for name in ("example.com", "pypi.org"):
    attempt("resolved " + name, socket.getaddrinfo, name, 80)
""",
    ),
    Attack(
        id="net-metadata",
        threat="M1",
        walls=_WALLS,
        script="""
for address in ("169.254.169.254", "100.100.100.200"):
    attempt("cloud metadata", socket.create_connection, (address, 80), 0.5)
""",
    ),
    Attack(
        id="net-abstract",
        threat="M1",
        walls=_WALLS,
        script="""
with socket.socket(socket.AF_UNIX) as s:
    attempt("abstract socket", s.connect, "\\0" + T["abstract"])
""",
    ),
    Attack(
        id="net-raw",
        threat="M1",
        walls=_WALLS,
        script="""
attempt("a raw socket", socket.socket, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
attempt("a packet socket", socket.socket, 17, socket.SOCK_RAW)
""",
    ),
    Attack(
        id="net-vsock",
        threat="M1",
        walls=_WALLS,
        script="""
def call(port):  # a virtual machine's host, whatever the network namespace
    with socket.socket(40, socket.SOCK_STREAM) as s:
        s.settimeout(0.5)
        s.connect((2, port))
for port in (22, 80, 1024, 2375, 5000, 8000, 8080, 9999): attempt("the hypervisor", call, port)
""",
    ),
    Attack(
        id="net-interfaces",
        threat="M1",
        walls=_WALLS,
        script="""
others = [name for _, name in socket.if_nameindex() if name not in ("lo", "sit0", "tunl0")]
if others: gained("sees interfaces " + ", ".join(others))
""",
    ),
)
