"""The network of a box may have been another's before: nobody can tell, in either direction."""

import os
import random
import sys
import textwrap
from pathlib import Path

import pytest

from tasks.errors import MissingPart
from tasks.outcome import Limits
from tasks.runtimes.bubblewrap import BubblewrapRuntime
from tasks.runtimes.nursery import NURSERY
from tasks.workspace import Workspace

ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin"}

QUIET = {
    "nothing": "",
    "listens to nobody": "s = socket.socket(); s.bind(('127.0.0.1', 7777)); s.listen()",
    "an abstract name": "s = socket.socket(socket.AF_UNIX); s.bind('\\0name')",
}

USED = {
    "a connection": """
        s = socket.socket(); s.bind(("127.0.0.1", 7777)); s.listen()
        c = socket.create_connection(("127.0.0.1", 7777)); s.accept()[0].close(); c.close()
        """,
    "a connection refused": """
        try:
            socket.create_connection(("127.0.0.1", 9))
        except ConnectionRefusedError:
            pass
        """,
    "a datagram": "socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))",
    "a datagram by IPv6": """
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).sendto(b"x", ("::1", 9))
        """,
    "no route": """
        try:
            socket.create_connection(("192.0.2.1", 80), 1)
        except OSError:
            pass
        """,
    "a flow label": """
        s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        wanted = struct.pack("!16sI", socket.inet_pton(socket.AF_INET6, "::1"), 0x1234)
        s.setsockopt(41, 32, wanted + struct.pack("BBHHHI", 0, 1, 1, 6, 6, 0))
        """,
}

TABLES = ("dev", "snmp", "netstat", "snmp6", "ip6_flowlabel", "igmp", "igmp6", "tcp", "tcp6", "arp")
SEEN = f"""
import hashlib, os, socket, struct
names = ["/proc/net/" + name for name in {TABLES}]
tables = [open(name).read() for name in names if os.path.exists(name)]
print(os.readlink("/proc/self/ns/net"), hashlib.sha256("".join(tables).encode()).hexdigest())
"""


@pytest.fixture(autouse=True)
def _supervisors_that_stay():
    try:
        BubblewrapRuntime().check()
    except MissingPart as error:
        if "bubblewrap" in os.environ.get("AEXP_REQUIRE", ""):
            raise
        pytest.skip(str(error))
    if os.getuid() != 0:
        pytest.skip("without root each box makes its own network")
    NURSERY.open()
    yield
    NURSERY.close()


@pytest.fixture
def box(tmp_path):
    """Return what runs a script in a box, and tells its network and what that looked like."""

    def run(uses="", network="none"):
        printed = []
        outcome = BubblewrapRuntime().run(
            [sys.executable, "-I", "-S", "-c", SEEN + textwrap.dedent(uses)],
            Workspace.create(tmp_path, "box"),
            ENV,
            Limits(time_s=30, network=network),
            on_output=printed.append,
        )
        assert outcome.ok, b"".join(printed)
        name, looks = b"".join(printed).split()
        return name, looks

    return run


@pytest.mark.parametrize("uses", QUIET.values(), ids=QUIET.keys())
def test_a_network_in_which_nothing_happened_serves_the_next_box(box, uses):
    assert box(uses) == box()


@pytest.mark.parametrize("uses", USED.values(), ids=USED.keys())
def test_a_network_that_was_used_serves_nobody_else(box, uses):
    before, after = box(uses), box()
    assert after[0] != before[0]
    assert after[1] == before[1]


def test_every_box_finds_the_network_of_the_first_one_whatever_was_done_before(box):
    _, looks = box()
    for uses in random.Random(4).choices([*USED.values(), *QUIET.values()], k=12):
        assert box(uses)[1] == looks


def test_the_hosts_network_is_given_to_whom_it_was_allowed_and_to_nobody_after(box):
    before = box()
    host = box(network="host")
    assert host[0].decode() == str(Path("/proc/self/ns/net").readlink())
    assert box() == before != host


def test_the_harness_stays_in_its_own_network(box):
    before = str(Path("/proc/self/ns/net").readlink())
    box(USED["a connection"])
    for child, _ in NURSERY._idle:
        assert str(Path(f"/proc/{child.pid}/ns/net").readlink()) == before
