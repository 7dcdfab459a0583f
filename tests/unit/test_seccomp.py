"""The filter of system calls, run by an interpreter of its instructions."""

import errno
import struct

import pytest

from tasks.runtimes import seccomp

ALLOW, FAIL, KILL = 0x7FFF0000, 0x00050000, 0x80000000
X86, ARM = 0xC000003E, 0xC00000B7


def ruling(program, architecture, number, *arguments):
    """Return what the kernel would decide of a call."""
    words = [*arguments, 0, 0, 0][:3]
    data = struct.pack("<IIQQQQ", number & 0xFFFFFFFF, architecture, 0, *words)
    lines = list(struct.iter_unpack("<HBBI", program))
    at = accumulator = 0
    while True:
        code, if_true, if_false, value = lines[at]
        at += 1
        if code == 0x20:
            accumulator = struct.unpack_from("<I", data, value)[0]
        elif code == 0x06:
            return value
        elif code == 0x05:
            at += value
        else:
            holds = {
                0x15: accumulator == value,
                0x35: accumulator >= value,
                0x45: bool(accumulator & value),
            }[code]
            at += if_true if holds else if_false


@pytest.mark.parametrize(("machine", "mark"), [("x86_64", X86), ("aarch64", ARM)])
def test_every_denied_call_fails_and_others_pass(machine, mark):
    program = seccomp.program(machine)
    column = 0 if machine == "x86_64" else 1
    for numbers in seccomp.CALLS.values():
        assert ruling(program, mark, numbers[column]) == FAIL | errno.EPERM
    denied = {numbers[column] for numbers in seccomp.CALLS.values()} | {435}
    denied |= set(seccomp.X86_ONLY.values()) if column == 0 else set()
    passing = set(range(460)) - denied - {seccomp.SOCKET[column], seccomp.SOCKETPAIR[column]}
    assert {ruling(program, mark, number) for number in passing} == {ALLOW}


@pytest.mark.parametrize(("machine", "mark", "call"), [("x86_64", X86, 28), ("aarch64", ARM, 233)])
def test_all_advice_on_memory_is_taken_but_to_collapse_what_others_read(machine, mark, call):
    program = seccomp.program(machine)
    rulings = {advice: ruling(program, mark, call, 0, 0, advice) for advice in range(110)}
    assert {advice for advice, found in rulings.items() if found != ALLOW} == {25}
    assert rulings[25] == FAIL | errno.EINVAL


@pytest.mark.parametrize(("machine", "mark", "call"), [("x86_64", X86, 72), ("aarch64", ARM, 25)])
def test_of_a_file_all_may_be_asked_and_set_but_how_long_its_data_live(machine, mark, call):
    program = seccomp.program(machine)
    wanted = [*range(40), *range(1024, 1045)]
    rulings = {what: ruling(program, mark, call, 3, what) for what in wanted}
    assert {what for what, found in rulings.items() if found != ALLOW} == {1036, 1038}
    assert rulings[1036] == rulings[1038] == FAIL | errno.EINVAL


def test_numbers_of_another_architecture_are_deadly():
    assert ruling(seccomp.program("x86_64"), 0x40000003, 1) == KILL
    assert ruling(seccomp.program("aarch64"), X86, 1) == KILL
    assert ruling(seccomp.program("x86_64"), X86, 0x40000000 + 1) == FAIL | errno.ENOSYS


@pytest.mark.parametrize(("machine", "mark", "clone"), [("x86_64", X86, 56), ("aarch64", ARM, 220)])
def test_threads_and_processes_may_be_made_but_no_namespaces(machine, mark, clone):
    program = seccomp.program(machine)
    assert ruling(program, mark, clone, 0x11) == ALLOW  # fork
    assert ruling(program, mark, clone, 0x3D0F00) == ALLOW  # a thread
    for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert ruling(program, mark, clone, flag | 0x11) == FAIL | errno.EPERM
    assert ruling(program, mark, 435) == FAIL | errno.ENOSYS  # the C library then takes clone


@pytest.mark.parametrize(
    ("machine", "mark", "call"),
    [("x86_64", X86, 41), ("x86_64", X86, 53), ("aarch64", ARM, 198), ("aarch64", ARM, 199)],
)
def test_sockets_are_of_the_usual_families(machine, mark, call):
    program = seccomp.program(machine)
    rulings = {family: ruling(program, mark, call, family) for family in range(46)}
    assert {family for family, found in rulings.items() if found == ALLOW} == {1, 2, 10, 16}
    assert rulings[40] == FAIL | errno.EAFNOSUPPORT  # vsock crosses network namespaces
