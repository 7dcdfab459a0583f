"""Submissions of every kind of wrong: a stable code, the ids, a fix; never a trace nor a label."""

import gzip
import os
import pickle
import random
import socket
import time
import zlib

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tasks.grading import submission
from tasks.grading.marks import Marker, measurable
from tasks.grading.submission import check
from tasks.instance import Answers, Categorical, Contract, Gaussian

IDS = np.arange(100, 120)
CLASSES = Contract(kind="classes", ids=IDS, classes=("a", "b", "c"))
NUMBERED = Contract(kind="classes", ids=IDS, classes=("0", "1"))
CHANCES = Contract(kind="classes", ids=IDS, classes=("a", "b"), probabilities=True)
VALUES = Contract(kind="values", ids=IDS)
QUANTILES = Contract(kind="values", ids=IDS, quantiles=(0.1, 0.5, 0.9))
CLUSTERS = Contract(kind="clusters", ids=IDS)
EVERY = [CLASSES, CHANCES, VALUES, QUANTILES, CLUSTERS]


def table(header, cells, ids=IDS):
    """A CSV text: the same `cells` on each row, or what `cells(k)` gives."""
    row = cells if callable(cells) else lambda _: cells
    return "\n".join([header, *(f"{number},{row(k)}" for k, number in enumerate(ids))]) + "\n"


def write(folder, content, name="submission.csv"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refused(folder, contract, content=None, name="submission.csv"):
    """Check what must not pass; return its one problem as text."""
    if content is not None:
        write(folder, content, name)
    checked = check(folder, contract)
    assert checked.prediction is None
    assert len(checked.problems) == 1
    said = str(checked.problems[0])
    assert said.isprintable()
    assert len(said) < 700
    assert "Traceback" not in said
    return said


def accepted(folder, contract, content, name="submission.csv"):
    write(folder, content, name)
    checked = check(folder, contract)
    assert checked.problems == ()
    return checked.prediction


# --- what passes -------------------------------------------------------------------------------


def test_classes_are_positions_in_the_order_of_the_contract(tmp_path):
    text = table("id,target", lambda k: "cab"[k % 3])
    prediction = accepted(tmp_path, CLASSES, text)
    assert prediction.codes.tolist() == [[2, 0, 1][k % 3] for k in range(20)]
    assert prediction.p is None


def test_rows_in_any_order_are_put_in_the_order_of_the_test_table(tmp_path):
    shuffled = IDS[::-1]
    text = table("target,id".replace("target,id", "id,target"), lambda k: k + 0.5, ids=shuffled)
    prediction = accepted(tmp_path, VALUES, text)
    assert prediction.values.tolist() == [19.5 - k for k in range(20)]


def test_columns_may_stand_in_any_order(tmp_path):
    text = "q0.9,target,q0.1,id,q0.5\n" + "".join(f"3,2,1,{number},2\n" for number in IDS)
    prediction = accepted(tmp_path, QUANTILES, text)
    assert {level: float(q[0]) for level, q in prediction.quantiles.items()} == {
        0.1: 1.0,
        0.5: 2.0,
        0.9: 3.0,
    }


def test_probabilities_alone_are_enough_and_are_scaled_to_a_sum_of_one(tmp_path):
    prediction = accepted(tmp_path, CHANCES, table("id,proba_a,proba_b", "0.3004,0.7"))
    assert prediction.codes is None
    assert np.allclose(prediction.p.sum(axis=1), 1.0, atol=1e-15)


def test_labels_and_optional_probabilities_are_both_read(tmp_path):
    prediction = accepted(tmp_path, CLASSES, table("id,target,proba_a,proba_b,proba_c", "c,1,0,0"))
    assert prediction.codes[0] == 2
    assert prediction.p[0].tolist() == [1.0, 0.0, 0.0]


def test_tiny_rounding_outside_the_unit_interval_is_clipped(tmp_path):
    text = table("id,proba_a,proba_b", "-1e-12,1.0000000001")
    assert accepted(tmp_path, CHANCES, text).p[0].tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: b"\xef\xbb\xbf" + text,
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: text.replace(b"\n", b"\r"),
        lambda text: text.rstrip(b"\n"),
        lambda text: text + b"\n\n",
        lambda text: b"\n\n" + text,
        lambda text: text.replace(b"target", b'"target"').replace(b",a", b',"a"'),
    ],
    ids=["BOM", "CRLF", "CR", "no last newline", "blank end", "blank start", "quotes"],
)
def test_harmless_dialects_of_csv_are_read_alike(tmp_path, change):
    text = table("id,target", lambda k: "abc"[k % 3])
    plain = accepted(tmp_path, CLASSES, text)
    assert np.array_equal(accepted(tmp_path, CLASSES, change(text.encode())).codes, plain.codes)


@pytest.mark.parametrize("cell", ["1", "-2.5", "+3", ".5", "2.", "1e-3", "-1E+10", "007", "1e100"])
def test_numbers_are_read_in_every_usual_notation(tmp_path, cell):
    prediction = accepted(tmp_path, VALUES, table("id,target", cell))
    assert prediction.values[0] == float(cell)


def test_negative_cluster_numbers_and_ids_are_whole_numbers(tmp_path):
    contract = Contract(kind="clusters", ids=np.array([-3, 0, 5]))
    prediction = accepted(tmp_path, contract, "id,target\n0,7\n5,-1\n-3,0\n")
    assert prediction.codes.tolist() == [0, 7, -1]


@pytest.mark.parametrize("place", submission.PLACES)
def test_every_documented_place_is_looked_at(tmp_path, place):
    content = table("id,target", "a")
    if place.endswith("parquet"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        pl.DataFrame({"id": IDS, "target": ["a"] * 20}).write_parquet(tmp_path / place)
    else:
        write(tmp_path, content, place)
    checked = check(tmp_path, CLASSES)
    assert (checked.file, checked.problems) == (place, ())


def test_of_two_submissions_the_first_place_counts_even_if_it_is_the_worse(tmp_path):
    write(tmp_path, table("id,target", "a"), "predictions.csv")
    assert check(tmp_path, CLASSES).file == "predictions.csv"
    said = refused(tmp_path, CLASSES, table("id,target", "x"))
    assert said.startswith("E11")
    assert check(tmp_path, CLASSES).file == "submission.csv"


def test_a_single_file_can_be_checked_whatever_its_name(tmp_path):
    path = write(tmp_path, table("id,target", "a"), "try_3.txt")
    checked = check(path, CLASSES)
    assert (checked.file, checked.problems) == ("try_3.txt", ())


# --- E01: missing, empty, no regular file --------------------------------------------------------


def test_e01_nothing_is_there(tmp_path):
    said = refused(tmp_path, CLASSES)
    assert said.startswith("E01: no submission found; write submission/submission.csv")
    assert check(tmp_path, CLASSES).file is None
    assert str(check(tmp_path / "gone.csv", CLASSES).problems[0]).startswith("E01: no such file")


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf", b" \r\n\t"])
def test_e01_the_file_is_empty(tmp_path, content):
    assert refused(tmp_path, CLASSES, content) == (
        "E01: the file is empty; write UTF-8 CSV with a header, or Parquet"
    )


def test_e01_a_folder_of_that_name(tmp_path):
    (tmp_path / "submission.csv").mkdir()
    assert "E01: a folder" in refused(tmp_path, CLASSES)


@pytest.mark.timeout(100)
def test_e01_a_fifo_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "submission.csv")
    assert "E01: a FIFO" in refused(tmp_path, CLASSES)


def test_e01_a_socket(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's path has a hundred letters at most
    with socket.socket(socket.AF_UNIX) as end:
        end.bind("submission.csv")
        assert refused(tmp_path, CLASSES).startswith("E01: ")


def test_e01_a_link_to_the_answers_is_not_followed(tmp_path):
    answers = write(tmp_path, table("id,target", "a"), "private/answers.csv")
    home = tmp_path / "home"
    home.mkdir()
    (home / "submission.csv").symlink_to(answers)
    said = refused(home, CLASSES)
    assert said == "E01: a symbolic link; a submission is a regular file"


def test_e01_a_folder_reached_by_a_link_is_not_followed(tmp_path):
    write(tmp_path, table("id,target", "a"), "private/submission.csv")
    home = tmp_path / "home"
    home.mkdir()
    (home / "submission").symlink_to(tmp_path / "private")
    assert "E01: a symbolic link" in refused(home, CLASSES)


@pytest.mark.parametrize("target", ["/dev/zero", "/dev/stdin", "nowhere", "submission.csv"])
def test_e01_links_to_devices_to_nothing_and_to_themselves(tmp_path, target):
    (tmp_path / "submission.csv").symlink_to(target)
    assert "E01: a symbolic link" in refused(tmp_path, CLASSES)


def test_e01_a_device_itself(tmp_path):
    checked = check(submission.Path("/dev/zero"), CLASSES)
    assert str(checked.problems[0]).startswith("E01: a device")


@pytest.mark.parametrize(
    ("reason", "code"),
    [("a hard link", "E01"), ("3,000,000,000 bytes; over the limit of what is collected", "E02")],
)
def test_what_was_not_collected_is_a_problem_even_if_a_later_place_is_fine(tmp_path, reason, code):
    write(tmp_path, table("id,target", "a"), "predictions.csv")
    checked = check(tmp_path, CLASSES, refused={"submission/submission.csv": reason})
    assert checked.file == "submission/submission.csv"
    assert str(checked.problems[0]).startswith(f"{code}: submission/submission.csv is {reason}")


def test_what_else_was_not_collected_is_no_problem(tmp_path):
    write(tmp_path, table("id,target", "a"), "predictions.csv")
    assert check(tmp_path, CLASSES, refused={"results/x": "a FIFO"}).problems == ()


# --- E02: too large ------------------------------------------------------------------------------


@pytest.mark.timeout(100)
@pytest.mark.parametrize("name", ["submission.csv", "submission.parquet"])
def test_e02_ten_sparse_gigabytes_are_refused_at_once(tmp_path, name):
    with (tmp_path / name).open("wb") as file:
        file.truncate(10 * 2**30)
    began = time.process_time()  # that of the wall tells of other work on the machine
    said = refused(tmp_path, CLASSES)
    assert said.startswith("E02: 10,737,418,240 bytes; at most 16,777,216 are read; ")
    assert time.process_time() - began < 1.0


def test_e02_text_that_unpacks_to_far_more_than_a_submission(tmp_path):
    frame = pl.DataFrame({"id": IDS, "target": ["9" * 2_000_000] * 20})
    frame.write_parquet(tmp_path / "submission.parquet", compression="zstd")
    assert (tmp_path / "submission.parquet").stat().st_size < 100_000
    said = refused(tmp_path, VALUES)
    assert said.startswith("E02: it unpacks to 40,000,000 bytes of text; at most 16,777,216")


# --- E03: unreadable -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        table("id,target", "é").encode("latin-1"),
        table("id,target", "a").encode("utf-16"),
        table("id,target", "a\0b").encode(),
        pickle.dumps({"id": IDS, "target": ["a"] * 20}),
        gzip.compress(table("id,target", "a").encode()),
        gzip.compress(bytes(10**8)),
        b"PK\x03\x04" + bytes(100),
        b'id,target\n1,"a\n2,b\n',
        b'id,target\n1,"a"b\n2,b\n',
        b"id,target\n1,a,b\n",
        b"id,target\n1\n",
    ],
    ids=[
        "latin-1",
        "UTF-16",
        "NUL",
        "pickle",
        "gzip",
        "gzip bomb",
        "zip",
        "open quote",
        "text after quote",
        "long row",
        "short row",
    ],
)
def test_e03_bytes_that_are_no_table(tmp_path, content):
    said = refused(tmp_path, CLASSES, content)
    assert said.startswith("E03: ")
    assert said.endswith("write UTF-8 CSV with a header, or Parquet")


def test_e03_a_pickle_is_never_loaded(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "trapped"),)

    refused(tmp_path, CLASSES, pickle.dumps(Trap()))
    refused(tmp_path, CLASSES, pickle.dumps(Trap()), "submission.parquet")
    assert not (tmp_path / "trapped").exists()


def test_e03_names_the_row_that_is_not_as_wide_as_the_header(tmp_path):
    said = refused(tmp_path, CLASSES, b"id,target\n100,a\n101,a,\n")
    assert said.startswith("E03: row 3 has 3 cells, the header 2; ")


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(500) + b"PAR1", b"id,target\n"])
def test_e03_parquet_that_is_none(tmp_path, content):
    said = refused(tmp_path, CLASSES, content, "submission.parquet")
    assert said.startswith("E03: not a readable Parquet file")


def test_e03_parquet_cut_short(tmp_path):
    path = tmp_path / "submission.parquet"
    pl.DataFrame({"id": IDS, "target": ["a"] * 20}).write_parquet(path)
    whole = path.read_bytes()
    assert "E03" in refused(tmp_path, CLASSES, whole[:-20], path.name)
    assert "E03" in refused(tmp_path, CLASSES, whole[: len(whole) // 2] + whole[-200:], path.name)


def test_e03_parquet_of_other_types_names_the_column_and_the_type(tmp_path):
    nested = [{"\x1b[31m": [k]} for k in range(20)]
    pl.DataFrame({"id": IDS, "target": nested}).write_parquet(tmp_path / "submission.parquet")
    assert refused(tmp_path, CLASSES).startswith("E03: column 2 has the type Struct; ")
    bytes_ = pl.Series("target", [b"a"] * 20, dtype=pl.Binary)
    pl.DataFrame([pl.Series("id", IDS), bytes_]).write_parquet(tmp_path / "submission.parquet")
    assert refused(tmp_path, CLASSES).startswith("E03: column 2 has the type Binary; ")


def test_e03_tens_of_thousands_of_columns(tmp_path):
    wide = ",".join(f"c{k}" for k in range(20_000))
    row = ",".join(["1"] * 20_000)
    assert "E03: it has 20,000 columns" in refused(tmp_path, CLASSES, f"{wide}\n{row}\n")
    many = ("a," * 4_000_000).encode()
    assert "E03: it has 4,000,001 columns" in refused(tmp_path, CLASSES, many + b"\n1\n")


def test_e03_parquet_of_tens_of_thousands_of_columns(tmp_path):
    frame = pl.DataFrame({f"c{k}": [1] for k in range(10_500)})
    frame.write_parquet(tmp_path / "submission.parquet")
    assert "E03: it has 10,500 columns" in refused(tmp_path, CLASSES)


# --- E04: header ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("contract", "header", "said"),
    [
        (CLASSES, "id,label", "missing 'target'; unknown 'label'; wanted: id, target"),
        (CLASSES, "ID,target", "missing 'id'; unknown 'ID'; wanted: id, target"),
        (CLASSES, "id, target", "missing 'target'; unknown ' target'; wanted: id, target"),
        (CLASSES, "id,target,target", "twice 'target'; wanted: id, target"),
        (CLASSES, "id,target,id", "twice 'id'; wanted: id, target"),
        (CLASSES, "100,a", "missing 'id', 'target'; unknown '100', 'a'; wanted: id, target"),
        (CHANCES, "id,target", "missing 'proba_a', 'proba_b'; wanted: id, proba_a, proba_b"),
        (CLASSES, "id,target,proba_b", "missing 'proba_a', 'proba_c'; wanted: id, proba_a, "),
        (QUANTILES, "id,target,q0.1,q0.5", "missing 'q0.9'; wanted: id, target, q0.1, q0.5, q0.9"),
        (VALUES, 'id,"tar\nget"', "missing 'target'; unknown 'tar\\nget'; wanted: id, target"),
        (VALUES, "id,\x1b[2J", "missing 'target'; unknown '\\x1b[2J'; wanted: id, target"),
        (VALUES, "id,target,", "unknown ''; wanted: id, target"),
    ],
)
def test_e04_the_header_says_what_is_missing_unknown_and_twice(tmp_path, contract, header, said):
    width = header.count(",")
    problem = refused(tmp_path, contract, table(header, ",".join(["1"] * width)))
    assert problem.startswith(f"E04: header: {said}")


def test_e04_thousands_of_columns_are_named_by_the_first_five(tmp_path):
    header = "id,target," + ",".join(f"c{k}" for k in range(5000))
    said = refused(tmp_path, VALUES, table(header, ",".join(["1"] * 5001)))
    assert said == ("E04: header: unknown 'c0', 'c1', 'c2', 'c3', 'c4'; wanted: id, target")


def test_e04_of_many_classes_only_some_are_spelt_out(tmp_path):
    contract = Contract(
        kind="classes", ids=IDS, classes=tuple(f"k{k}" for k in range(500)), probabilities=True
    )
    assert refused(tmp_path, contract, table("id,target", "k1")).endswith("proba_k8, …")


def test_e04_a_name_of_a_megabyte_is_cut(tmp_path):
    assert "…'; wanted: id, target" in refused(tmp_path, VALUES, table("id," + "x" * 100_000, "1"))


# --- E05 to E07: ids -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cell",
    [
        "007",
        "7.0",
        "+7",
        " 7",
        "7 ",
        "1e2",
        "-0",
        "",
        "x",
        "7" * 19,
        "\u0667",
        "0x7",
        "7\n",
        "NaN",
        "1_0",
    ],
)
def test_e05_ids_in_another_notation(tmp_path, cell):
    text = table("id,target", "1").replace("102,", f'"{cell}",')
    said = refused(tmp_path, VALUES, text)
    shown = ascii(cell)
    assert said == (
        f"E05: 1 id is wrong, first {shown} (row 4); ids are whole numbers as in test.csv "
        "(7, not 007 nor 7.0)"
    )


def test_e05_floats_as_ids_name_the_first_five(tmp_path):
    said = refused(tmp_path, VALUES, table("id,target", "1", ids=[f"{n}.0" for n in IDS]))
    assert said.startswith(
        "E05: 20 ids are wrong, first '100.0' (row 2), '101.0' (row 3), '102.0' (row 4), "
        "'103.0' (row 5), '104.0' (row 6); "
    )


@pytest.mark.parametrize("kind", [pl.Float64, pl.String, pl.Boolean, pl.Null, pl.Decimal(10, 2)])
def test_e05_parquet_ids_of_another_type(tmp_path, kind):
    ids = pl.Series("id", [1] * 20).cast(kind) if kind != pl.Null else pl.Series("id", [None] * 20)
    if kind == pl.String:
        ids = pl.Series("id", [f"0{n}" for n in IDS])
    frame = pl.DataFrame([ids, pl.Series("target", [1.0] * 20)])
    frame.write_parquet(tmp_path / "submission.parquet")
    assert refused(tmp_path, VALUES).startswith("E05: 20 ids are wrong")


def test_e05_parquet_ids_that_are_missing_or_beyond_64_bits(tmp_path):
    ids = pl.Series("id", [None, 2**63, *IDS[2:].tolist()], dtype=pl.UInt64)
    frame = pl.DataFrame([ids, pl.Series("target", [1.0] * 20)])
    frame.write_parquet(tmp_path / "submission.parquet")
    said = refused(tmp_path, VALUES)
    assert said.startswith("E05: 2 ids are wrong, first '' (row 2), '9223372036854775808' (row 3);")


def test_e06_duplicate_ids_are_named(tmp_path):
    text = table("id,target", "1", ids=[*IDS, 103, 101, 101])
    assert refused(tmp_path, VALUES, text) == (
        "E06: 2 ids (first: 101, 103) more than once; each id once"
    )


def test_e07_missing_ids_are_named_by_the_first_five(tmp_path):
    assert refused(tmp_path, VALUES, table("id,target", "1", ids=IDS[7:])) == (
        "E07: 7 ids (first: 100, 101, 102, 103, 104) missing; every id of test.csv once"
    )
    assert refused(tmp_path, VALUES, "id,target\n") == (
        "E07: 20 ids (first: 100, 101, 102, 103, 104) missing; every id of test.csv once"
    )


def test_e07_unknown_ids_are_named(tmp_path):
    assert refused(tmp_path, VALUES, table("id,target", "1", ids=[*IDS, -5])) == (
        "E07: id -5 not asked for; only ids of test.csv"
    )


def test_duplicate_missing_and_unknown_ids_are_said_all_at_once(tmp_path):
    write(tmp_path, table("id,target", "1", ids=[*IDS[1:], 101, 999]))
    assert [problem.code for problem in check(tmp_path, VALUES).problems] == ["E06", "E07", "E07"]


@pytest.mark.timeout(20)
def test_e07_a_flood_of_rows_is_not_looked_through(tmp_path):
    text = table("id,target", "1", ids=range(100_000))
    assert refused(tmp_path, VALUES, text).startswith("E07: more than 1,040 rows; every id")


@pytest.mark.timeout(30)
def test_e07_a_parquet_bomb_of_a_billion_rows_is_not_unpacked(tmp_path):
    path = tmp_path / "submission.parquet"
    part = pl.DataFrame({"id": pl.repeat(1, 20_000_000, eager=True), "target": 1})
    part.lazy().sink_parquet(path, compression="zstd")
    assert path.stat().st_size < 1_000_000
    assert refused(tmp_path, VALUES).startswith("E07: more than 1,040 rows; every id")


# --- E08 to E10: numbers -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cell",
    [
        "x",
        "1,5",
        "1.5.2",
        "0x10",
        "1_000",
        " 1",
        "1 ",
        "\u0663",
        "\u0131nf",
        "\u0130nf",
        "1e",
        "--1",
        "True",
    ],
)
def test_e08_words_are_no_numbers(tmp_path, cell):
    text = table("id,target", "1").replace("103,1", f'103,"{cell}"')
    assert refused(tmp_path, VALUES, text) == (
        f"E08: target: 1 row is wrong, first {cell!a} (id 103); give numbers such as -1.5e3"
    )


def test_e08_a_cell_of_a_megabyte_is_cut(tmp_path):
    text = table("id,target", "1").replace("103,1", "103," + "x" * 1_200_000)
    assert "E08: target: 1 row is wrong, first 'xxxxx" in refused(tmp_path, VALUES, text)
    text = table("id,target", "1").replace("103,1", "103," + "x" * 900_000)
    assert refused(tmp_path, VALUES, text).startswith("E03: not valid CSV: field larger than")


@pytest.mark.parametrize("cell", ["1.0", "a", "", "1e3", "NaN"])
def test_e08_clusters_are_whole_numbers(tmp_path, cell):
    assert refused(tmp_path, CLUSTERS, table("id,target", cell)).startswith(
        f"E08: target: 20 rows are wrong, first '{cell}' (id 100), '{cell}' (id 101), "
    )


@pytest.mark.parametrize("cell", ["NaN", "nan", "inf", "-Infinity", "+INF", "1e400", "-1e400", ""])
@pytest.mark.parametrize(("contract", "column"), [(VALUES, "target"), (CHANCES, "proba_b")])
def test_e09_numbers_that_are_none(tmp_path, cell, contract, column):
    header = "id,target" if contract is VALUES else "id,proba_a,proba_b"
    text = table(header, "1" if contract is VALUES else "0,1")
    text = text.replace("105,1", f"105,{cell}").replace("105,0,1", f"105,0,{cell}")
    assert refused(tmp_path, contract, text) == (
        f"E09: {column}: 1 row is wrong, first '{cell}' (id 105); give finite numbers, none missing"
    )


def test_e09_ids_of_shuffled_rows_are_the_right_ones(tmp_path):
    text = table("id,target", lambda k: "nan" if k == 3 else "1", ids=IDS[::-1])
    assert "first 'nan' (id 116);" in refused(tmp_path, VALUES, text)


@pytest.mark.parametrize("cell", ["1e200", "-1e101"])
def test_e10_numbers_whose_squares_overflow(tmp_path, cell):
    assert refused(tmp_path, VALUES, table("id,target", cell)).endswith(
        "(id 104); give numbers within ±1e+100"
    )


@pytest.mark.parametrize(("a", "b"), [("1.5", "-0.5"), ("-0.001", "1.001"), ("60", "40")])
def test_e10_probabilities_outside_the_unit_interval(tmp_path, a, b):
    said = refused(tmp_path, CHANCES, table("id,proba_a,proba_b", f"{a},{b}"))
    assert said.startswith(f"E10: proba_a: 20 rows are wrong, first '{a}' (id 100), ")
    assert said.endswith("; probabilities lie in [0, 1]")


# --- E11 to E13 ----------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["d", "A", "a ", "", "0", "a\nb", "\x1b]0;x\x07", "é"])
def test_e11_unknown_classes(tmp_path, cell):
    text = table("id,target", "a").replace("107,a", f'107,"{cell}"')
    assert refused(tmp_path, CLASSES, text) == (
        f"E11: target: 1 row is wrong, first {cell!a} (id 107); classes: a, b, c"
    )


@pytest.mark.parametrize("cell", ["01", "2", "2.0", "-1", "True", "1.00", ".0"])
def test_e11_numbered_classes_are_written_as_in_the_training_table(tmp_path, cell):
    said = refused(tmp_path, NUMBERED, table("id,target", cell))
    assert said.endswith("; classes: 0, 1")
    assert said.startswith("E11")


def test_e11_classes_written_as_floats_are_told_how_to_be_written(tmp_path):
    said = refused(tmp_path, NUMBERED, table("id,target", "1.0"))
    assert said.startswith("E11: target: 20 rows are wrong, first '1.0'")
    assert said.endswith("; classes: 0, 1; write 1, not 1.0")
    frame = pl.DataFrame({"id": IDS, "target": pl.Series([0.0, 1.0] * 10)})
    frame.write_parquet(tmp_path / "submission.parquet")
    (tmp_path / "submission.csv").unlink()
    assert refused(tmp_path, NUMBERED).endswith("; classes: 0, 1; write 0, not 0.0")


@pytest.mark.parametrize("kind", [pl.Float64, pl.Boolean])
def test_e11_parquet_classes_of_another_type(tmp_path, kind):
    frame = pl.DataFrame({"id": IDS, "target": pl.Series([0, 1] * 10).cast(kind)})
    frame.write_parquet(tmp_path / "submission.parquet")
    assert refused(tmp_path, NUMBERED).startswith("E11: target: 20 rows are wrong, first ")


@pytest.mark.parametrize("share", ["0.5,0.4", "0.7,0.7", "0,0", "0.5,0.498"])
def test_e12_probabilities_that_do_not_sum_to_one(tmp_path, share):
    total = sum(float(part) for part in share.split(","))
    said = refused(tmp_path, CHANCES, table("id,proba_a,proba_b", share))
    assert said.startswith(
        f"E12: sums of probabilities: 20 rows are wrong, first {total:g} (id 100), "
    )
    assert said.endswith("; they must be 1 ± 0.001")


def test_e13_crossing_quantiles_name_the_two_and_the_ids(tmp_path):
    text = table("id,target,q0.1,q0.5,q0.9", lambda k: "1,0,1,2" if k % 2 else "1,0,3,2")
    said = refused(tmp_path, QUANTILES, text)
    assert said.startswith("E13: q0.5 exceeds q0.9: 10 rows are wrong, first '3' (id 100), ")
    assert accepted(tmp_path, QUANTILES, table("id,target,q0.1,q0.5,q0.9", "1,2,2,2")).quantiles


# --- properties ----------------------------------------------------------------------------------


def answers(kind):
    rng = np.random.default_rng(5)
    if kind == "values":
        mean = rng.normal(size=20)
        return Answers(
            labels=mean + rng.normal(size=20),
            law=Gaussian(mean=mean, sd=np.ones(20)),
            trivial={"mean": np.zeros(20)},
        )
    p = rng.dirichlet(np.ones(3), size=20)
    prior = np.broadcast_to(np.full(3, 1 / 3), (20, 3))
    return Answers(labels=p.argmax(axis=1), law=Categorical(p=p), trivial={"prior": prior})


def marks(checked, contract):
    assert checked.problems == ()
    truth = answers(contract.kind)
    marker = Marker(contract, truth)
    names = measurable(checked.prediction, contract, truth)
    return {name: marker.mark(name, checked.prediction).as_dict() for name in names}


def some_table(contract, seed):
    """A valid submission as columns of text."""
    rng = random.Random(seed)
    columns = {"id": [str(number) for number in contract.ids]}
    if contract.kind == "values":
        columns["target"] = [repr(rng.gauss(0, 1)) for _ in IDS]
        for level in contract.quantiles:
            columns[f"q{level:g}"] = [repr(float(level)) for _ in IDS]
    elif contract.kind == "clusters":
        columns["target"] = [str(rng.randrange(-2, 3)) for _ in IDS]
    else:
        columns["target"] = [rng.choice(contract.classes) for _ in IDS]
        shares = [[rng.random() for _ in contract.classes] for _ in IDS]
        for k, name in enumerate(contract.classes):
            columns[f"proba_{name}"] = [repr(row[k] / sum(row)) for row in shares]
    return columns


def as_csv(columns, order):
    rows = [",".join(columns)]
    rows += [",".join(values[k] for values in columns.values()) for k in order]
    return "\n".join(rows) + "\n"


@pytest.mark.parametrize("contract", [CLASSES, VALUES, QUANTILES, CLUSTERS])
@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 10**6), order=st.permutations(range(20)))
def test_rows_in_any_order_give_the_same_marks(tmp_path, contract, seed, order):
    columns = some_table(contract, seed)
    write(tmp_path, as_csv(columns, range(20)))
    plain = marks(check(tmp_path, contract), contract)
    write(tmp_path, as_csv(columns, order))
    assert marks(check(tmp_path, contract), contract) == plain


@pytest.mark.parametrize("contract", [CLASSES, VALUES, QUANTILES, CLUSTERS])
def test_the_same_table_as_parquet_gives_the_same_marks(tmp_path, contract):
    path = write(tmp_path, as_csv(some_table(contract, 1), range(20)))
    plain = marks(check(tmp_path, contract), contract)
    frame = pl.read_csv(path)
    frame.sample(fraction=1.0, shuffle=True, seed=3).write_parquet(tmp_path / "p.parquet")
    assert marks(check(tmp_path / "p.parquet", contract), contract) == plain
    texts = frame.with_columns(pl.col(pl.String).cast(pl.Categorical))
    texts.write_parquet(tmp_path / "p.parquet", compression="snappy")
    assert marks(check(tmp_path / "p.parquet", contract), contract) == plain


CELL = st.one_of(
    st.sampled_from(
        ["a", "1", "0.5", "NaN", "", '"', "\n", "\r", ",", "1e999", "\u0131", "\x00", "100"]
    ),
    st.text(max_size=5),
)
LIKE_CSV = st.lists(st.lists(CELL, min_size=1, max_size=4), max_size=6).map(
    lambda rows: "\n".join(",".join(row) for row in [["id", "target"], *rows]).encode(
        errors="surrogatepass"
    )
)


@settings(
    deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.one_of(st.binary(max_size=200), LIKE_CSV), contract=st.sampled_from(EVERY))
@example(data=table("id,target", "\u0131nf").encode(), contract=VALUES)
@example(data=b'""', contract=CLASSES)
@example(data=b'id,target\n"', contract=CLASSES)
@example(data=zlib.compress(b"id,target\n", 0), contract=CLUSTERS)
def test_any_bytes_are_a_prediction_or_problems_and_never_an_error(tmp_path, data, contract):
    checked = check(write(tmp_path, data), contract)
    assert (checked.prediction is None) == bool(checked.problems)
    assert all(str(problem).isprintable() for problem in checked.problems)
