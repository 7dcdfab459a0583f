"""What an agent's own trackers wrote: read as claims, however hostile the bytes."""

import json
import os
import random
import sqlite3
import struct
import time
import zlib

import pytest

from tasks.logged import read
from tasks.logged import read as read_logs
from tasks.logged.found import MOST_NAMES, MOST_POINTS, MOST_SEEN, Found, Full
from tasks.logged.wandb_file import DamagedError
from tasks.logged.wandb_file import read as read_wandb

SCHEMA = """
CREATE TABLE runs (run_uuid VARCHAR(32), name VARCHAR(250), lifecycle_stage VARCHAR(20));
CREATE TABLE metrics (key, value, timestamp BIGINT, run_uuid, step BIGINT, is_nan BOOLEAN);
CREATE TABLE params (key, value, run_uuid);
"""


def store(logs, script="", *, schema=SCHEMA):
    """Make a file as MLflow lays it out, with one active run `a`."""
    connection = sqlite3.connect(logs / "mlflow.db")
    connection.executescript(schema)
    if schema is SCHEMA:
        connection.execute("INSERT INTO runs VALUES ('a', 'first', 'active')")
    connection.executescript(script)
    connection.commit()
    connection.close()


# --- a minimal writer of W&B's offline format ------------------------------------------------


def varint(value):
    out = b""
    while value > 0x7F:
        out += bytes((value & 0x7F | 0x80,))
        value >>= 7
    return out + bytes((value,))


def message(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def item(name, value):
    return message(1, message(2, name.encode()) + message(16, json.dumps(value).encode()))


def history(**values):
    return message(2, b"".join(item(name, value) for name, value in values.items()))


def config(**values):
    return message(5, b"".join(item(name, value) for name, value in values.items()))


def frames(records):
    """Frame records as LevelDB does, split over blocks of 32 KiB."""
    out = bytearray(b":W&B\xe1\xbe\x00")
    for record in records:
        begin, rest = True, record
        while True:
            left = 32768 - len(out) % 32768
            if left < 7:
                out += b"\0" * left
                continue
            piece, rest = rest[: left - 7], rest[left - 7 :]
            kind = {(1, 1): 1, (1, 0): 2, (0, 0): 3, (0, 1): 4}[begin, not rest]
            checksum = zlib.crc32(piece, zlib.crc32(bytes((kind,))))
            out += struct.pack("<IHB", checksum, len(piece), kind) + piece
            begin = False
            if not rest:
                break
    return bytes(out)


def offline(logs, data, run="offline-run-1"):
    folder = logs / "wandb" / run
    folder.mkdir(parents=True)
    (folder / f"run-{run}.wandb").write_bytes(data)


# --- what is read -----------------------------------------------------------------------------


def test_no_logs_are_no_claims(tmp_path):
    (tmp_path / "training.log").write_text("epoch 1")
    assert read(tmp_path).summary() == {"metrics": {}, "params": {}, "left_out": 0, "problems": []}


def test_an_mlflow_file_gives_metrics_over_time_and_parameters(tmp_path):
    store(
        tmp_path,
        """INSERT INTO metrics VALUES ('loss', 0.5, 1000, 'a', 0, 0),
                                   ('loss', 0.25, 2000, 'a', 1, 0);
        INSERT INTO params VALUES ('model', 'forest', 'a');""",
    )
    logged = read(tmp_path)
    assert logged.points == (("loss", 0.5, 0, 1.0), ("loss", 0.25, 1, 2.0))
    assert logged.summary()["metrics"] == {"loss": {"last": 0.25, "step": 1, "points": 2}}
    assert logged.params == {"model": "forest"}


def test_a_second_run_carries_its_name_and_a_deleted_one_is_left_out(tmp_path):
    store(
        tmp_path,
        """INSERT INTO runs VALUES ('b', 'second', 'active'), ('c', 'third', 'deleted');
        INSERT INTO metrics VALUES ('x', 1, 0, 'a', 0, 0), ('x', 2, 0, 'b', 0, 0),
                                   ('x', 3, 0, 'c', 0, 0);""",
    )
    assert [(point.name, point.value) for point in read(tmp_path).points] == [
        ("x", 1.0),
        ("second/x", 2.0),
    ]


def test_values_that_are_no_finite_numbers_are_counted_and_left_out(tmp_path):
    store(
        tmp_path,
        """INSERT INTO metrics VALUES ('x', 1, 0, 'a', 0, 0), ('x', 0, 0, 'a', 1, 1),
        ('x', 9e999, 0, 'a', 2, 0), ('x', 'text', 0, 'a', 3, 0), ('x', x'00ff', 0, 'a', 4, 0);""",
    )
    logged = read(tmp_path)
    assert [point.value for point in logged.points] == [1.0]
    assert logged.left_out == 4


def test_a_wandb_file_gives_history_and_config_across_its_blocks(tmp_path):
    rows = [history(_step=n, _timestamp=9.5, loss=1 / (n + 1)) for n in range(2000)]
    offline(tmp_path, frames([config(lr=0.1, _wandb={}), *rows]))
    logged = read(tmp_path)
    assert len(logged.points) == 2000
    assert logged.points[3] == ("loss", 0.25, 3, 9.5)
    assert logged.params == {"lr": "0.1"}


def test_lines_of_json_are_read_in_both_shapes(tmp_path):
    lines = [
        '{"step": 4, "loss": 0.5, "note": "x"}',
        "",
        '{"metric": "acc", "value": 1}',
        "no",
        "[]",
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    logged = read(tmp_path)
    assert logged.points == (("loss", 0.5, 4, 0.0), ("acc", 1.0, 2, 0.0))
    assert logged.problems == ("metrics.jsonl: 2 lines are no JSON objects",)


def test_a_name_that_two_trackers_were_told_is_kept_twice(tmp_path):
    store(tmp_path, "INSERT INTO metrics VALUES ('acc', 0.5, 0, 'a', 0, 0);")
    offline(tmp_path, frames([history(_step=0, acc=0.75)]))
    values = {point.name: point.value for point in read(tmp_path).points}
    assert values == {"acc": 0.5, "wandb/acc": 0.75}


def test_many_points_are_thinned_but_the_first_and_last_stay(tmp_path):
    lines = "\n".join(json.dumps({"a": n, "b": -n, "step": n}) for n in range(20_000))
    (tmp_path / "metrics.jsonl").write_text(lines)
    logged = read(tmp_path)
    assert len(logged.points) == MOST_POINTS
    assert logged.left_out == 40_000 - MOST_POINTS
    for name in ("a", "b"):
        steps = [point.step for point in logged.points if point.name == name]
        assert (steps[0], steps[-1]) == (0, 19_999)
    assert sum(len(batch) for batch in logged.batches()) == MOST_POINTS


def test_names_without_end_are_bounded():
    found = Found()
    for number in range(1000):
        found.point(f"m{number}", 1.0, 0, 0.0)
        found.param(f"p{number}", "x" * 10_000)
    assert len(found.series) == len(found.params) == MOST_NAMES
    assert max(map(len, found.params.values())) == 500
    assert found.left_out == 1000 - MOST_NAMES


# --- hostile bytes ------------------------------------------------------------------------------

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
HOSTILE_SCHEMAS = {
    "a view that never ends": f"""CREATE VIEW metrics AS SELECT 'x' key, i value, 0 step,
        0 timestamp, 'a' run_uuid, 0 is_nan FROM ({ENDLESS});
        CREATE TABLE runs (run_uuid, name, lifecycle_stage);
        CREATE TABLE params (run_uuid, key, value);
        INSERT INTO runs VALUES ('a', 'n', 'active');""",
    "a view over runs": f"""CREATE VIEW runs AS SELECT 'a' run_uuid, 'n' name,
        'active' lifecycle_stage FROM ({ENDLESS}) WHERE i < 0;""",
    "a column that runs a function": """CREATE TABLE runs (run_uuid, lifecycle_stage,
        name AS (hex(zeroblob(10000000)))); INSERT INTO runs VALUES ('a', 'active');""",
    "other columns": "CREATE TABLE runs (x); CREATE TABLE metrics (y);",
    "nothing": "",
}


@pytest.mark.parametrize("what", HOSTILE_SCHEMAS)
def test_a_hostile_schema_is_a_problem_and_takes_no_time(tmp_path, what):
    store(tmp_path, schema=HOSTILE_SCHEMAS[what])
    begin = time.monotonic()
    logged = read(tmp_path)
    assert logged.points == ()
    assert len(logged.problems) == 1
    assert logged.problems[0].startswith("mlflow: ")
    assert time.monotonic() - begin < 14


@pytest.mark.parametrize(
    "content",
    [b"", b"no database", b"SQLite format 3\0" + b"\xff" * 5000, os.urandom(100_000)],
    ids=["empty", "text", "torn header", "noise"],
)
def test_bytes_that_are_no_database_are_a_problem(tmp_path, content):
    (tmp_path / "mlflow.db").write_bytes(content)
    (tmp_path / "metrics.jsonl").write_text('{"acc": 0.5}')
    logged = read(tmp_path)
    assert [point.name for point in logged.points] == ["acc"]  # the other source is still read
    assert logged.problems


def test_a_database_with_flipped_bytes_never_hurts_us(tmp_path):
    rows = ", ".join(f"('m{n % 7}', {n}, {n}, 'a', {n}, 0)" for n in range(2000))
    store(tmp_path, f"INSERT INTO metrics VALUES {rows};")
    whole = (tmp_path / "mlflow.db").read_bytes()
    chance = random.Random(5)
    for _ in range(8):
        spoiled = bytearray(whole)
        for _ in range(40):
            spoiled[chance.randrange(100, len(spoiled))] = chance.randrange(256)
        (tmp_path / "mlflow.db").write_bytes(spoiled)
        logged = read_logs(tmp_path)
        assert len(logged.points) <= MOST_POINTS
        assert (tmp_path / "mlflow.db").read_bytes() == spoiled  # read in a copy


def test_a_log_that_ends_anywhere_gives_what_came_before():
    data = frames([config(lr=0.1), history(_step=0, loss=0.5), history(_step=1, loss=0.25)])
    counts = []
    for end in range(7, len(data) + 1):
        found = Found()
        try:
            read_wandb(data[:end], found)
        except DamagedError:
            assert end < len(data)
        counts.append(found.seen)
    assert counts == sorted(counts)
    assert counts[-1] == 2


def test_a_flipped_byte_is_found_by_its_checksum(tmp_path):
    data = bytearray(frames([history(_step=0, loss=0.5)]))
    data[-2] ^= 1
    offline(tmp_path, data)
    logged = read(tmp_path)
    assert logged.points == ()
    assert "a wrong checksum at byte 7" in logged.problems[0]


@pytest.mark.parametrize(
    "record",
    [
        b"\x12\xff\xff\xff\xff\x0f",  # a field of 4 GB
        b"\xff" * 20,  # a number without end
        b"\x13\x14",  # a group, which protobuf has given up
        varint(2 << 3) + varint(7),  # history that is a number
        message(2, message(1, message(2, b"x") + message(16, b"[" * 100_000))),
        message(2, message(1, message(16, b"1"))),  # a value without a name
        message(2, item("x", 10**400)),
    ],
    ids=["long", "endless", "group", "number", "deep", "nameless", "huge"],
)
def test_a_hostile_record_gives_no_points_and_no_crash(tmp_path, record):
    offline(tmp_path, frames([record]))
    assert read(tmp_path).points == ()


def test_noise_is_never_more_than_a_damaged_file():
    chance = random.Random(3)
    for _ in range(300):
        found = Found()
        with pytest.raises(DamagedError):
            read_wandb(b":W&B\xe1\xbe\x00" + chance.randbytes(200), found)
        for record in (chance.randbytes(60) for _ in range(5)):
            try:
                read_wandb(frames([record]), found)
            except DamagedError:
                continue


def test_a_file_larger_than_is_read_is_named(tmp_path):
    with (tmp_path / "metrics.jsonl").open("wb") as file:
        file.truncate(2**27)
    assert "134,217,728 bytes" in read(tmp_path).problems[0]


def test_a_link_to_a_file_of_ours_is_not_followed(tmp_path):
    (tmp_path / "secret").write_text('{"acc": 1}')
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "metrics.jsonl").symlink_to(tmp_path / "secret")
    assert read(logs).points == ()


def test_lines_that_are_deep_or_long_are_no_objects(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("[" * 50_000 + "\n" + '{"a": "' + "x" * 100_000 + '"}')
    assert read(tmp_path).problems == ("metrics.jsonl: 2 lines are no JSON objects",)


def test_more_points_than_are_looked_at_stop_the_reading():
    found = Found()
    found.seen = MOST_SEEN
    with pytest.raises(Full):
        found.point("x", 1.0, 1, 0.0)


def test_control_characters_of_names_are_not_passed_on(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"a\x1b[2Jb": 1}))
    assert read(tmp_path).points[0].name == "a�[2Jb"
