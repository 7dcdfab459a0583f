"""Tables on a terminal and off it."""

import sys

import pytest

from tasks.cli import console

HEADER = ["AGENT", "SCORE", "PASSED", "BEATS"]
ROWS = [["experiment", "0.905 [0.206, 1.000]", "1.000", "dummy"], ["dummy", "0.000", "0.000", "-"]]


@pytest.fixture
def printed(monkeypatch, capsys):
    def run(columns, rows=ROWS, *, terminal=True, header=HEADER):
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("LINES", "24")
        monkeypatch.setenv("TERM", "dumb")
        monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
        console.table(header, rows)
        return capsys.readouterr().out

    return run


def test_what_fits_a_terminal_is_one_table(printed):
    lines = printed(80).splitlines()
    assert sum("AGENT" in line for line in lines) == 1
    assert any("experiment" in line and "dummy" in line for line in lines)


def test_what_is_too_wide_goes_on_below_with_the_first_column_again(printed):
    lines = printed(44).splitlines()
    assert max(map(len, lines)) <= 44
    tops = [line.split() for line in lines if "AGENT" in line]
    assert tops == [["AGENT", "SCORE"], ["AGENT", "PASSED", "BEATS"]]
    assert sum("experiment" in line for line in lines) == 2


def test_a_column_that_fits_nowhere_wraps_and_nothing_is_cut_off(printed):
    long = "words " * 30
    assert long.strip() in printed(40, [["a", long]], header=["KEY", "TEXT"])


def test_many_rows_stay_whole(printed):
    lines = printed(30, [[f"agent{n}", "0.5", "x" * 30, "y"] for n in range(12)]).splitlines()
    assert sum("AGENT" in line for line in lines) == 1
    assert sum(line.startswith("agent7 ") and line.endswith("y") for line in lines) == 1


def test_off_a_terminal_a_row_is_a_line_whatever_its_width(printed):
    lines = printed(20, terminal=False).splitlines()
    assert len(lines) == 3
    assert lines[1].split() == ["experiment", "0.905", "[0.206,", "1.000]", "1.000", "dummy"]


def test_what_a_terminal_would_obey_is_shown_as_a_mark(printed):
    assert "\x1b[2J" not in printed(80, [["\x1b[2J", "", "", ""]])
