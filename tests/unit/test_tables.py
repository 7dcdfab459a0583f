"""Tables of strangers: both ways of reading them agree, and neither guesses or unpacks."""

import contextlib
import csv
import io
import zlib

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tasks.grading import parquet, plain, tables
from tasks.grading.parquet import ReaderError, read_parquet
from tasks.grading.tables import EmptyError, read_table, shown
from tasks.grading.untrusted import TooLargeError, UnreadableError, UntrustedFileError, read_bytes

CLASSES = ["a", "1", "x y", 'q"q', "é"]
CELL = st.one_of(
    st.sampled_from(
        [
            "0",
            "-0",
            "7",
            "007",
            "7.0",
            "-3",
            "1e5",
            "1e400",
            "1e-400",
            "-inf",
            "NaN",
            "+nan",
            ".5",
            "5.",
            ".",
            "true",
            "a",
        ]
    ),
    st.sampled_from(["", " 1", "x y", 'q"q', "é", "\u0131nf", "\u0667", "\x1b[0m", "x\ny", "a,b"]),
    st.sampled_from(["9" * 18, "9" * 19, "1" * 400, "0." + "3" * 400]),
    st.floats().map(repr),
    st.integers(-(2**70), 2**70).map(str),
    st.text(st.characters(exclude_characters="\r\0", exclude_categories=["Cs"]), max_size=8),
)


def as_csv(rows, *, newline="\n"):
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator=newline).writerows(rows)
    return text.getvalue().encode()


def everything(table):
    """All that a table says of its cells."""
    found = []
    for index in range(len(table.header)):
        column = table.column(index)
        parts = (column.integers(), column.numbers(), column.codes(CLASSES))
        found += [
            (np.where(bad, 0, values), bad.tolist(), str(values.dtype)) for values, bad in parts
        ]
        found.append([column.show(row) for row in range(table.n_rows)])
    return found


def same(one, other):
    assert (one.header, one.n_rows) == (other.header, other.n_rows)
    for ours, theirs in zip(everything(one), everything(other), strict=True):
        if isinstance(ours, tuple):
            assert np.array_equal(ours[0], theirs[0], equal_nan=ours[0].dtype.kind == "f")
            assert ours[1:] == theirs[1:]
        else:
            assert ours == theirs


@settings(deadline=None, max_examples=300)
@given(
    cells=st.lists(st.tuples(CELL, CELL), min_size=1, max_size=8),
    newline=st.sampled_from(["\n", "\r\n"]),
)
@example(cells=[("\u0131nf", "1e400"), ("-0", "9" * 18)], newline="\n")
def test_both_readers_see_the_same_cells(cells, newline):
    data = as_csv([("id", "target"), *cells], newline=newline)
    same(tables._small(data), tables._large(data))


PLAIN = st.one_of(
    st.sampled_from(["0", "007", "7.0", "-3", "1/2", "a", "1", "x y", "", "é", "9" * 18, "9" * 19]),
    st.integers(0, 10**20).map(str),
    st.text(st.characters(codec="ascii", exclude_characters='\r\n\0,"'), max_size=9),
)


@settings(deadline=None, max_examples=300)
@given(rows=st.lists(st.tuples(PLAIN, PLAIN), min_size=1, max_size=8))
@example(rows=[("12", "a"), ("3", "x y"), ("450", "1")])
def test_the_reader_of_labels_sees_the_same_cells_or_leaves_the_table_to_another(rows):
    data = "".join(f"{first},{second}\n" for first, second in [("id", "target"), *rows]).encode()
    table = tables._labels(data, tables._small)
    if not data.isascii():
        assert table is None
    elif table is not None:
        same(table, tables._small(data))


def test_plain_labels_are_read_without_polars(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "_large", None)
    text = "id,target\n" + "".join(f"{n},{CLASSES[n % 3]}\n" for n in range(200_000))
    path = tmp_path / "t.csv"
    path.write_text(text)
    table = read_table(path, limit=2**24, most_rows=10**6, labels=True)
    ids, odd = table.column(0).integers()
    codes, bad = table.column(1).codes(CLASSES)
    assert np.array_equal(ids, np.arange(200_000))
    assert np.array_equal(codes, np.arange(200_000) % 3)
    assert not odd.any()
    assert not bad.any()


def test_plain_numbers_of_any_length_are_read_as_python_reads_them():
    whole = [n for e in range(8) for n in (10**e - 1, 10**e, 10**e + 7, 12_345_678 % 10**e)]
    ids, _ = plain.two_columns("".join(f"{n},a\n" for n in whole).encode(), refused)
    assert ids.integers()[0].tolist() == whole
    for odd in ("00", "007", "-7", "7.", "7 ", " 7", "1/", "1:", "1e3", "x", "0000000", "1234567;"):
        ids, _ = plain.two_columns(f"1,a\n{odd},a\n22,b\n".encode(), refused)
        with pytest.raises(AskedAnotherError):
            ids.integers()


class AskedAnotherError(Exception):
    """The plain reader has left a column to another one."""


def refused(_):
    raise AskedAnotherError


@pytest.mark.parametrize(
    "data",
    [
        b"id,target\n1,a\n\n2,b\n\n",
        b"id,target\n\n1,a\n",
        b"id,target\r\n1,a\r\n\r\n",
        b"id,target\n1,a",
        b"id,target\n",
        b"id,target\n,\n1,a\n,\n",
        b"id,target\n,\n\n1,a\n",
        b"id,target\r1,a\r2,b\r",
        b"id,target\r\r\n1,a\r\r\n",
        b"id,target\r\n1,a\n2,b\n",
    ],
    ids=[
        "blank lines",
        "blank first",
        "CRLF",
        "no last newline",
        "header only",
        "empty cells",
        "empty cells and a blank line",
        "CR",
        "CR CRLF",
        "CRLF, then LF",
    ],
)
def test_both_readers_see_the_same_lines(data):
    same(tables._small(data), tables._large(data))


@pytest.mark.parametrize(
    "data",
    [
        b"id,target\n1,\xe9\n",
        b"\xe9,target\n1,2\n",
        b"id,target\n1,a,b\n",
        b"id,target\n1,a\n2,b,",
        b'id,target\n1,"a\n',
        b'id,target\n1,"a"b\n',
        b"id,target\n1\n",
    ],
    ids=[
        "latin-1",
        "latin-1 header",
        "long row",
        "long last row",
        "open quote",
        "text after quote",
        "narrow",
    ],
)
def test_both_readers_refuse_the_same_bytes(data):
    for reader in (tables._small, tables._large):
        with pytest.raises(UnreadableError):
            reader(data)


@settings(deadline=None, max_examples=200)
@given(st.one_of(st.binary(max_size=80), st.binary(max_size=60).map(lambda b: b"id,target\n" + b)))
@example(b"id,target\n\n")
@example(b",\n,")
def test_the_reader_of_large_files_takes_any_bytes(data):
    data = data.lstrip(b"\r\n")
    if not data.strip():
        return
    with contextlib.suppress(UnreadableError):
        everything(tables._large(data))


def large(tmp_path, text):
    """Read a file that is too long for the reader of small ones."""
    path = tmp_path / "t.csv"
    path.write_bytes(text)
    assert path.stat().st_size > tables.SMALL_BYTES
    return read_table(path, limit=2**24, most_rows=10**6)


def test_a_large_file_is_read_like_a_small_one(tmp_path):
    ids = np.arange(150_000)
    body = "".join(f"{number},{number / 7}\n" for number in ids)
    for start in ("id,target\n", "\ufeffid,target\n", "\n\r\nid,target\n"):
        table = large(tmp_path, (start + body).encode())
        assert table.header == ("id", "target")
        assert np.array_equal(table.column(0).integers()[0], ids)
        assert np.array_equal(table.column(1).numbers()[0], ids / 7)


def like_text(inner):
    """Pack as zlib whose first line is plain text: a fixed Huffman block that begins with P."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 15, 8, zlib.Z_FIXED)
    data = packer.compress(inner) + packer.flush(zlib.Z_SYNC_FLUSH) + packer.flush()
    assert data.startswith(b"x\x01\n")
    return data


def test_a_large_file_that_begins_like_zlib_is_not_unpacked():
    """Polars unpacks, without a bound, whatever begins with x and \\x01."""
    bomb = like_text(b"P" + b"1\n" * 10**6)
    assert len(pl.read_csv(bomb, has_header=False)) == 10**6
    with pytest.raises(UnreadableError):
        tables._large(bomb)
    with pytest.raises(UnreadableError):
        tables._large(b"id,target\n" + bomb)
    assert tables._large(b"id,target\nx\x01,1\n").n_rows == 1


def test_a_large_file_of_one_header_has_no_rows(tmp_path):
    names = ",".join(f"a_long_name_of_a_column_that_is_wide_{k:064d}" for k in range(10_000))
    assert large(tmp_path, names.encode()).n_rows == 0


def test_lines_of_a_large_file_may_end_as_on_old_machines(tmp_path):
    assert large(tmp_path, b"id,target\r" + b"1,2\r" * 300_000).n_rows == 300_000


def test_what_is_shown_is_cut_and_escaped():
    assert shown("a\x1b[31m\u202e'") == ascii("a\x1b[31m\u202e'")
    assert shown("x" * 41) == "'" + "x" * 40 + "…'"
    assert len(shown("\u202e" * 10**6)) < 50


# --- Parquet -------------------------------------------------------------------------------------


def packed(frame):
    file = io.BytesIO()
    frame.write_parquet(file)
    return file.getvalue()


def test_parquet_of_every_plain_type_comes_through():
    frame = pl.DataFrame(
        {
            "i": pl.Series([1, None], dtype=pl.Int8),
            "u": pl.Series([1, 2**63], dtype=pl.UInt64),
            "f": pl.Series([0.5, float("nan")], dtype=pl.Float32),
            "d": pl.Series(["1.50", "2.25"]).cast(pl.Decimal(10, 2)),
            "b": [True, False],
            "s": ["a", None],
            "c": pl.Series(["x", "y"], dtype=pl.Categorical),
            "e": pl.Series(["x", "y"], dtype=pl.Enum(["x", "y"])),
            "n": pl.Series([None, None], dtype=pl.Null),
        }
    )
    read = read_parquet(packed(frame), most_rows=10, most_bytes=100)
    assert read.rows()[0] == frame.with_columns(pl.col("c", "e").cast(pl.String)).rows()[0]
    columns = [tables._Series(series) for series in read]
    assert columns[0].integers()[1].tolist() == [False, True]
    assert columns[1].integers()[1].tolist() == [False, True]
    assert columns[3].numbers()[0].tolist() == [1.5, 2.25]
    assert columns[3].integers()[1].all()
    assert columns[4].codes(["true", "false"])[0].tolist() == [0, 1]
    assert columns[5].codes(["a"])[1].tolist() == [False, True]
    assert columns[8].numbers()[1].tolist() == [False, False]
    assert columns[8].show(0) == "''"


@pytest.mark.parametrize(
    "column",
    [
        pl.Series([[1]]),
        pl.Series([{"a": {"b": 1}}]),
        pl.Series([b"x"]),
        pl.Series([0]).cast(pl.Date),
        pl.Series([0]).cast(pl.Duration),
        pl.Series([0]).cast(pl.Datetime),
        pl.Series([[1, 2]], dtype=pl.Array(pl.Int64, 2)),
    ],
    ids=["list", "struct", "binary", "date", "duration", "datetime", "array"],
)
def test_parquet_of_other_types_is_refused_without_its_names(column):
    data = packed(pl.DataFrame([column.alias("\x1b]0;evil\x07")]))
    with pytest.raises(ReaderError, match=r"^(column 1 has the type \w+)$"):
        read_parquet(data, most_rows=10, most_bytes=100)


def test_only_so_many_rows_of_parquet_are_read():
    data = packed(pl.DataFrame({"id": range(1000)}))
    assert read_parquet(data, most_rows=7, most_bytes=100).height == 7


def test_parquet_text_is_counted_as_it_unpacks():
    data = packed(pl.DataFrame({"t": ["x" * 1000] * 1000}).cast(pl.Categorical))
    with pytest.raises(ReaderError, match="unpacks to 1,000,000 bytes of text") as caught:
        read_parquet(data, most_rows=1000, most_bytes=999_999)
    assert caught.value.too_large
    assert read_parquet(data, most_rows=1000, most_bytes=1_000_000).height == 1000


def test_parquet_that_needs_more_memory_than_there_is_ends_the_reader_and_not_us(monkeypatch):
    """Ten columns of ten million numbers in a few kilobytes; polars would abort our process."""
    column = pl.repeat(1, 10_000_000, eager=True, dtype=pl.Int64)
    data = packed(pl.DataFrame({f"c{k}": column for k in range(10)}))
    assert len(data) < 300_000
    monkeypatch.setattr(parquet, "MEMORY_BYTES", 2**30)
    with pytest.raises(ReaderError, match="not a readable Parquet file"):
        read_parquet(data, most_rows=10**9, most_bytes=0)
    assert read_parquet(data, most_rows=10, most_bytes=0).height == 10


def test_parquet_that_takes_too_long_is_given_up(monkeypatch):
    monkeypatch.setattr(parquet, "SECONDS", 0.001)
    with pytest.raises(ReaderError, match="it takes too long to read"):
        read_parquet(packed(pl.DataFrame({"id": [1]})), most_rows=1, most_bytes=1)


@settings(
    deadline=None, max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_damaged_parquet_is_refused_or_read_but_never_an_error(tmp_path, data):
    whole = bytearray(packed(pl.DataFrame({"id": range(50), "target": ["a", "b"] * 25})))
    for _ in range(data.draw(st.integers(1, 5))):
        whole[data.draw(st.integers(4, len(whole) - 5))] = data.draw(st.integers(0, 255))
    path = tmp_path / "t.parquet"
    path.write_bytes(whole)
    with contextlib.suppress(UnreadableError, TooLargeError):
        everything(read_table(path, limit=2**20, most_rows=100))


# --- bytes ---------------------------------------------------------------------------------------


def test_files_are_read_up_to_the_limit_and_not_beyond(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"12345")
    assert read_bytes(path, limit=5) == b"12345"
    with pytest.raises(TooLargeError, match="5 bytes; at most 4 are read"):
        read_bytes(path, limit=4)


def test_names_that_cannot_be_opened_are_said_in_words(tmp_path):
    with pytest.raises(UntrustedFileError, match="File name too long"):
        read_bytes(tmp_path / ("x" * 300), limit=5)
    with pytest.raises(FileNotFoundError):
        read_bytes(tmp_path / "gone", limit=5)


def test_an_empty_table_is_told_from_an_unreadable_one(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b" \n")
    with pytest.raises(EmptyError):
        read_table(path, limit=10, most_rows=1)
