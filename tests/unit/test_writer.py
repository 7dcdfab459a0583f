"""The writer: what is read back is the table, the bytes are the same, no half of a file is left."""

import csv
import errno
import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tasks.datasets import writer
from tasks.instance import CHUNK_ROWS, Contract, Table
from tests.unit.test_files import FULL_DISK

TEXT = st.text(
    st.characters(codec="utf-8", exclude_characters="\0"), max_size=12
) | st.sampled_from(
    ['"', '""', "a,b", "a\nb", "a\rb", "\r\n", " a ", "NA", "nan", "null", "-", "1", "ä", "'", "#x"]
)
ROWS = st.lists(
    st.tuples(
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_infinity=False) | st.integers(-9999, 9999).map(lambda n: n / 100),
        st.none() | TEXT,
    ),
    min_size=1,
    max_size=8,
)
EXTREMES = [
    (0, 5e-324, "a\rb"),
    (1, 1.7976931348623157e308, 'q"u'),
    (2, float("nan"), None),
    (3, -0.0, ""),
    (4, 0.1 + 0.2, "a,b\nc"),
    (5, 1e16, "\r"),
]


def table_of(rows):
    numbers, floats, words = zip(*rows, strict=True)
    return Table.of(
        {
            "id": np.array(numbers, dtype=np.int64),
            "x": np.array(floats, dtype=np.float64),
            "word": np.array(words, dtype=object),
        }
    )


def written(table, path, *, large):
    """Write as a small or as a large table is written, whatever its size."""
    if large:
        writer._write_csv(table, path, lambda _: None)
    else:
        writer.write_table(table, path)
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("writer")


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
@given(ROWS)
@example(EXTREMES)
@settings(deadline=None, max_examples=60)
def test_csv_and_polars_read_back_the_table(place, large, rows):
    import polars as pl

    path = written(table_of(rows), place / f"{large}.csv", large=large)
    with path.open(encoding="utf-8", newline="") as file:
        read = [(int(r["id"]), r["x"], r["word"]) for r in csv.DictReader(file)]
    frame = pl.read_csv(path, schema_overrides={"word": pl.String, "x": pl.Float64})
    for (number, x, word), by_csv, by_polars in zip(rows, read, frame.rows(), strict=True):
        assert by_csv[0] == by_polars[0] == number
        assert by_csv[1] == ("" if np.isnan(x) else by_csv[1])
        assert np.isnan(x) or float(by_csv[1]) == by_polars[1] == x
        assert not np.isnan(x) or by_polars[1] is None
        assert by_csv[2] == (by_polars[2] or "") == (word or "")


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
@given(ROWS)
@example(EXTREMES)
@settings(deadline=None, max_examples=60)
def test_pandas_reads_back_the_table(place, large, rows):
    import pandas as pd

    path = written(table_of(rows), place / f"{large}.csv", large=large)
    frame = pd.read_csv(
        path,
        dtype={"word": str, "x": float},
        keep_default_na=False,
        na_values={"x": [""]},
    )
    numbers, floats, words = zip(*rows, strict=True)
    assert frame["id"].tolist() == list(numbers)
    assert np.array_equal(frame["x"], floats, equal_nan=True)
    assert frame["word"].tolist() == [word or "" for word in words]


@given(ROWS)
@example(EXTREMES)
@settings(deadline=None, max_examples=60)
def test_parquet_reads_back_the_table_and_tells_empty_from_missing(place, rows):
    import polars as pl

    writer.write_table(table_of(rows), place / "t.parquet")
    for (number, x, word), read in zip(
        rows, pl.read_parquet(place / "t.parquet").rows(), strict=True
    ):
        assert read == (number, None if np.isnan(x) else x, word)


@given(
    st.lists(
        st.tuples(
            st.integers(-(2**63), 2**63 - 1),
            st.just(np.nan) | st.integers(-(10**12), 10**12).map(lambda n: n / 10**4),
            st.none() | TEXT.filter(bool),
        ),
        min_size=1,
        max_size=8,
    )
)
@settings(deadline=None, max_examples=60)
def test_small_and_large_tables_of_rounded_numbers_are_written_alike(place, rows):
    """Two libraries write them; they differ in exponents and in empty words alone."""
    small = written(table_of(rows), place / "small.csv", large=False)
    large = written(table_of(rows), place / "large.csv", large=True)
    assert small.read_bytes() == large.read_bytes()


BORDERS = [1e-4, np.nextafter(1e-4, 0), 1e16, np.nextafter(1e16, 0), 5e-324, 0.1 + 0.2, 1e22]


@given(st.lists(st.floats() | st.integers(-(10**9), 10**9).map(lambda n: n / 10**4), min_size=1))
@example([sign * size for size in BORDERS for sign in (1, -1)])
@example([0.0, -0.0, np.nan, np.inf, -np.inf, 100.0, 123456789012345680.0])
@settings(deadline=None, max_examples=300)
def test_small_tables_of_numbers_are_written_as_python_spells_them(place, numbers):
    ids = np.arange(len(numbers)) - 1
    table = Table.of({"i,d": ids, "x": np.array(numbers), "y": -np.array(numbers)})
    spelt = [["" if math.isnan(n) else repr(float(n)) for n in (x, -x)] for x in numbers]
    lines = [f"{row},{x},{y}" for row, (x, y) in zip(ids, spelt, strict=True)]
    found = written(table, place / "numbers.csv", large=False).read_text()
    assert found == "\n".join(['"i,d",x,y', *lines, ""])


def test_a_lone_cell_that_is_missing_is_no_empty_line(tmp_path):
    table = Table.of({"x": np.array([1.5, np.nan])})
    assert written(table, tmp_path / "x.csv", large=False).read_text() == 'x\n1.5\n""\n'


def test_a_large_table_is_written_chunk_by_chunk_in_order(tmp_path):
    n = 2 * CHUNK_ROWS + 10
    table = Table.of({"id": np.arange(n), "x": np.arange(n) / 8})
    reported = []
    writer.write_table(table, tmp_path / "t.csv", on_rows=reported.append)
    with (tmp_path / "t.csv").open() as file:
        assert file.readline() == "id,x\n"
        assert all(line == f"{k},{k / 8}\n" for k, line in enumerate(file))
    assert reported == [CHUNK_ROWS, CHUNK_ROWS, 10]
    again = []
    writer.write_table(table, tmp_path / "t.parquet", on_rows=again.append)
    assert again == reported


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_the_same_table_gives_the_same_bytes(tmp_path, suffix):
    n = CHUNK_ROWS + 5
    table = Table.of(
        {"id": np.arange(n), "x": np.sqrt(np.arange(n)), "w": np.array(["a"] * n, object)}
    )
    for name in ("a", "b"):
        writer.write_table(table, tmp_path / f"{name}.{suffix}")
    assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_an_empty_table_is_its_header(tmp_path, suffix):
    import polars as pl

    path = tmp_path / f"t.{suffix}"
    writer.write_table(Table.of({"id": np.array([], np.int64), "x": np.array([])}), path)
    frame = pl.read_csv(path) if suffix == "csv" else pl.read_parquet(path)
    assert (frame.columns, frame.height) == (["id", "x"], 0)


# --- nothing half-written ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["small.csv", "large.csv", "large.parquet"])
def test_a_full_disk_leaves_no_half_of_a_table(process, tmp_path, name):
    rows = 20_000 if name.startswith("small") else 300_000
    ended = process(
        "-c",
        FULL_DISK + "import numpy as np\n"
        "from tasks.datasets import writer\n"
        "from tasks.instance import Table\n"
        f"x = np.random.default_rng(0).random({rows})\n"
        "try: writer.write_table(Table.of({'x': x}), Path(sys.argv[1]))\n"
        "except Exception as error: print(type(error).__name__, error)\n",
        tmp_path / name,
    )
    assert "File too large" in ended.out, ended.err
    assert list(tmp_path.iterdir()) == []


def test_a_device_without_space_is_an_error_that_says_so(tmp_path):
    path = tmp_path / "t.csv"
    path.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as caught:
        writer.write_table(Table.of({"x": np.arange(9)}), path)
    assert caught.value.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []
    assert Path("/dev/full").is_char_device()


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
@pytest.mark.parametrize("failing", [0, 2])
def test_a_chunk_that_cannot_be_made_leaves_no_half_of_a_table(tmp_path, name, failing):
    def chunk(k):
        if k == failing:
            raise MemoryError("no more")
        return {"id": np.arange(CHUNK_ROWS)}

    with pytest.raises(MemoryError, match="no more"):
        writer.write_table(Table(n_rows=3 * CHUNK_ROWS, chunk=chunk), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_place_that_is_not_there_is_an_error(tmp_path, suffix):
    with pytest.raises(FileNotFoundError):
        writer.write_table(Table.of({"x": np.arange(9)}), tmp_path / "no" / f"t.{suffix}")


# --- times and samples -------------------------------------------------------------------------


def test_times_of_files_tell_nothing_and_links_are_not_followed(tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("")
    os.utime(outside, (5, 5))
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "file").write_text("")
    (folder / "link").symlink_to(outside)
    writer.fix_times(folder)
    below = [folder, *folder.rglob("*")]
    assert len(below) == 4
    assert {path.lstat().st_mtime for path in below} == {writer.FIXED_TIME}
    assert outside.stat().st_mtime == 5


IDS = np.array([7, 5, 9])


@pytest.mark.parametrize(
    ("contract", "columns"),
    [
        (
            Contract(kind="classes", ids=IDS, classes=("b", "a")),
            {"id": [7, 5, 9], "target": ["b", "b", "b"]},
        ),
        (
            Contract(kind="classes", ids=IDS, classes=("0", "1"), probabilities=True),
            {"id": [7, 5, 9], "target": [0] * 3, "proba_0": [0.5] * 3, "proba_1": [0.5] * 3},
        ),
        (
            Contract(kind="values", ids=IDS, id_column="row", target="y", quantiles=(0.1, 0.5)),
            {"row": [7, 5, 9], "y": [0.0] * 3, "q0.1": [0.0] * 3, "q0.5": [0.0] * 3},
        ),
        (Contract(kind="clusters", ids=IDS), {"id": [7, 5, 9], "target": [0] * 3}),
    ],
    ids=["classes", "probabilities", "values", "clusters"],
)
def test_a_sample_submission_has_the_form_and_knows_nothing(contract, columns):
    sample = {
        name: list(values) for name, values in writer.sample_submission(contract).columns().items()
    }
    assert sample == columns


def test_parquet_streams_a_table_of_many_chunks_without_holding_them_all(tmp_path):
    """40 chunks: those computed and not yet handed on never exceed those in flight."""
    import polars as pl

    made, handed_on, most = 0, 0, 0

    def chunk(k):
        nonlocal made, most
        made += 1
        most = max(most, made - handed_on)
        return {"x": np.full(CHUNK_ROWS, float(k))}

    def report(_rows):
        nonlocal handed_on
        handed_on += 1

    table = Table(n_rows=40 * CHUNK_ROWS, chunk=chunk)
    writer.write_table(table, tmp_path / "t.parquet", on_rows=report)
    assert handed_on == 40
    assert most <= 8
    read = pl.read_parquet(tmp_path / "t.parquet")["x"].to_numpy()
    assert (read == np.repeat(np.arange(40.0), CHUNK_ROWS)).all()
