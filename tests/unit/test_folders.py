"""Public and private folders: what is written is read back; damage and tricks are named."""

import io
import json
import os
import pickle
import stat
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import datasets
from tasks.datasets import folders
from tasks.errors import InvalidInput, InvalidTask
from tasks.instance import Answers, Blob, Contract, Instance, Seed
from tasks.spec import Task

SEED = Seed.public(3)
TASKS = {
    "classification": {"n_samples": 100, "n_test": 20},
    "regression": {"n_samples": 100, "n_test": 20},
    "clustering": {"n_samples": 100, "n_test": 20},
    "time_series": {"n_samples": 80, "n_series": 2, "horizon": 5, "period": 7},
    "regimes": {
        "n_samples": 80,
        "n_series": 2,
        "horizon": 5,
        "regimes": 2,
        "quantiles": [0.1, 0.9],
    },
    "bundled": {"dataset_type": "bundled", "name": "breast_cancer"},
}
TYPES = {"bundled": "classification", "regimes": "time_series"}


def task(task_type="classification", folder=None, **requirements):
    fields = {"id": "t", "task_type": task_type, "data_requirements": requirements}
    return Task.from_dict(fields, folder=folder)


def task_named(name):
    return task(TYPES.get(name, name), **TASKS[name])


@pytest.fixture(scope="module")
def instances():
    return {name: datasets.draw(task_named(name), SEED) for name in TASKS}


@pytest.fixture
def written(tmp_path, instances):
    """A data folder with answers; `written(name)` returns it and its instance."""

    def call(name="classification"):
        folder = tmp_path / "data"
        folder.mkdir()
        datasets.write_public(task_named(name), instances[name], folder)
        datasets.write_private(instances[name], SEED, folder / "private", {"task_id": "t"})
        return folder, instances[name]

    return call


def same(a, b):
    return (a is None and b is None) or np.array_equal(a, b)


# --- public ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TASKS)
def test_the_form_of_a_submission_is_read_back(written, name):
    folder, instance = written(name)
    with_answers = datasets.read_contract(folder)
    # Once more from the sample alone, as an agent or a user without answers has it.
    (folder / "private" / folders.ANSWERS_FILE).unlink()
    for contract in (with_answers, datasets.read_contract(folder)):
        for field in ("kind", "id_column", "target", "classes", "probabilities", "quantiles"):
            assert getattr(contract, field) == getattr(instance.contract, field)
        assert same(contract.ids, instance.contract.ids)


def test_the_same_seed_gives_the_same_bytes_and_times(tmp_path, instances):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        datasets.write_public(task_named("regression"), instances["regression"], tmp_path / name)
    first, second = (datasets.digests(tmp_path / name) for name in ("a", "b"))
    assert first == second
    assert {"train.csv", "test.csv", "sample_submission.csv", "task_config.json"} < set(first)
    assert len({path.stat().st_mtime for path in (tmp_path / "a").iterdir()}) == 1


def test_nothing_public_holds_the_seed_or_the_target_of_a_test_row(tmp_path, instances):
    datasets.write_public(task_named("regression"), instances["regression"], tmp_path)
    public = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert SEED.secret not in public
    assert SEED.secret.hex().encode() not in public
    assert "target" not in (tmp_path / "test.csv").read_text().splitlines()[0].split(",")


def test_the_config_lists_every_file_and_the_definition(tmp_path, instances):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "a.txt").write_text("a")
    given_task = task(folder=tmp_path, n_samples=100, n_test=20, copy_files=["own/a.txt"])
    out = tmp_path / "out"
    out.mkdir()
    datasets.write_public(given_task, instances["classification"], out, table_format="parquet")
    config = json.loads((out / "task_config.json").read_text())
    assert config["files"] == sorted(datasets.digests(out))
    assert {"own/a.txt", "train.parquet"} < set(config["files"])
    assert Task.from_dict(config["task"]) == given_task


def test_a_task_without_data_has_a_description_and_no_form(tmp_path):
    empty = task("general")
    instance = datasets.draw(empty, SEED)
    datasets.write_public(empty, instance, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "description.md",
        "task_config.json",
    ]
    with pytest.raises(InvalidInput, match="this task asks for no submission"):
        datasets.read_contract(tmp_path)


def test_a_file_that_is_no_table_is_written_by_its_own_name(tmp_path):
    instance = Instance(
        public={"x.bin": Blob(write=lambda path: path.write_bytes(b"\0"))},
        notes="- `x.bin`: a byte",
    )
    datasets.write_public(task("general"), instance, tmp_path)
    assert (tmp_path / "x.bin").read_bytes() == b"\0"


def test_progress_counts_the_rows_of_the_tables(tmp_path, instances):
    seen = []
    datasets.write_public(
        task_named("classification"), instances["classification"], tmp_path, on_rows=seen.append
    )
    assert sum(seen) == 120


# --- files of the task's own -------------------------------------------------------------------


@pytest.fixture
def copying(tmp_path, instances):
    """Write a classification task that copies files which lie beside it; return its folder."""
    own, out = tmp_path / "own", tmp_path / "out"
    own.mkdir()
    out.mkdir()
    (tmp_path / "secret.txt").write_text("secret")

    def call(*names, folder=own):
        given_task = task(folder=folder, n_samples=100, n_test=20, copy_files=list(names))
        datasets.write_public(given_task, instances["classification"], out)
        return out

    call.own = own
    return call


def test_files_beside_the_task_are_copied_with_their_folders(copying):
    (copying.own / "sub").mkdir()
    (copying.own / "sub" / "b.txt").write_text("b")
    (copying.own / "a.txt").symlink_to("sub/b.txt")
    out = copying("a.txt", "sub/b.txt")
    assert (out / "a.txt").read_text() == (out / "sub" / "b.txt").read_text() == "b"
    assert not (out / "a.txt").is_symlink()
    assert "- `sub/b.txt`" in (out / "description.md").read_text()


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("none.txt", lambda path: None, "No such file or directory"),
        ("folder", lambda path: path.mkdir(), "no file beside the task"),
        ("fifo", os.mkfifo, "no file beside the task"),
        ("link", lambda path: path.symlink_to("../secret.txt"), "no file beside the task"),
        ("link", lambda path: path.symlink_to("/etc/passwd"), "no file beside the task"),
        ("link/passwd", lambda path: path.parent.symlink_to("/etc"), "no file beside the task"),
        ("loop", lambda path: path.symlink_to("loop"), "loop"),
        ("dev", lambda path: path.symlink_to("/dev/zero"), "no file beside the task"),
        ("/".join(["x" * 200] * 30), lambda path: None, "No such file or directory"),
    ],
    ids=["none", "folder", "fifo", "link out", "absolute", "folder link", "loop", "device", "long"],
)
def test_a_file_that_is_not_beside_the_task_is_refused(copying, name, make, message):
    make(copying.own / name)
    with pytest.raises(InvalidTask, match=f"t: copy_files: .*{message}"):
        copying(name)


@pytest.mark.parametrize(
    "name",
    ["train.csv", "test.csv", "sample_submission.csv", "description.md", "task_config.json",
     "private/answers.npz", "private", "./description.md", "train.csv/x"],
)  # fmt: skip
def test_no_file_of_a_task_replaces_what_is_made_for_it(copying, name):
    path = copying.own / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("forged")
    with pytest.raises(InvalidTask, match="t: copy_files: "):
        copying(name)
    assert "forged" not in (copying.own.parent / "out" / "train.csv").read_text()


def test_the_same_file_twice_is_refused(copying):
    (copying.own / "a.txt").write_text("a")
    with pytest.raises(InvalidTask, match="the task makes a file of this name itself"):
        copying("a.txt", "./a.txt")


def test_a_task_made_in_memory_has_no_files_to_copy(copying):
    with pytest.raises(InvalidTask, match="a task that was not loaded from a file has no files"):
        copying("a.txt", folder=None)


def test_another_number_of_rows_leaves_the_files_of_a_task_where_they_are(cli, tmp_path):
    (tmp_path / "a.txt").write_text("a")
    path = task(n_test=20, copy_files=["a.txt"]).save(tmp_path / "t.json")
    ended = cli("generate-data", path, tmp_path / "out", "--n-samples", 50)
    assert ended.status == 0, ended.err
    assert (tmp_path / "out" / "a.txt").read_text() == "a"


# --- private -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TASKS)
def test_answers_and_their_law_are_read_back(written, name):
    folder, instance = written(name)
    answers = datasets.read_private(folder / "private", instance.contract)
    wanted = instance.answers
    assert same(answers.labels, wanted.labels)
    assert answers.labels.dtype == wanted.labels.dtype
    assert type(answers.law) is type(wanted.law)
    for part in ("p", "mean", "sd", "weights", "means", "sds", "covariance"):
        assert same(getattr(answers.law, part, None), getattr(wanted.law, part, None))
    assert answers.trivial.keys() == wanted.trivial.keys()
    assert all(same(answers.trivial[key], wanted.trivial[key]) for key in wanted.trivial)
    assert same(answers.scale, wanted.scale)
    assert same(answers.groups, wanted.groups)
    assert answers.reference == wanted.reference


def test_a_prior_for_every_row_is_kept_as_one(written):
    folder, _ = written("classification")
    with np.load(folder / "private" / folders.ANSWERS_FILE) as stored:
        assert stored["trivial prior"].shape == (1, 3)


def test_only_the_owner_reads_the_private_folder(written):
    folder, _ = written()
    assert stat.S_IMODE((folder / "private").stat().st_mode) == 0o700


def test_the_manifest_tells_seed_and_hidden_structure_as_json(tmp_path):
    details = {"weights": np.array([1.0, 2.0]), "n": np.int64(3), "path": tmp_path}
    instance = Instance(public={}, notes="", details=details)
    datasets.write_private(instance, SEED, tmp_path / "private", {"family": "None"})
    manifest = json.loads((tmp_path / "private" / "manifest.json").read_text())
    assert manifest == {
        "seed": SEED.secret.hex(),
        "family": "None",
        "hidden_structure": {"weights": [1.0, 2.0], "n": 3, "path": str(tmp_path)},
    }
    assert not (tmp_path / "private" / folders.ANSWERS_FILE).exists()


def test_a_private_folder_that_is_there_is_never_written_into(tmp_path, instances):
    (tmp_path / "private").mkdir()
    with pytest.raises(FileExistsError):
        datasets.write_private(instances["regression"], SEED, tmp_path / "private", {})
    assert list((tmp_path / "private").iterdir()) == []


class Evil:
    """What a pickle can do: `open` a file for writing."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def npz(**arrays):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def of_method(number):
    """Answers whose zip says that they are packed by another method."""
    content = bytearray(npz(ids=np.arange(20)))
    content[content.index(b"PK\x01\x02") + 10] = number
    return bytes(content)


def rezipped(old, new):
    """Answers whose arrays are damaged inside a sound zip."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        whole = npy(np.arange(20))
        assert old in whole
        archive.writestr(
            "ids.npy", whole.replace(old, new).replace(b" " * (len(new) - len(old)) + b"\n", b"\n")
        )
    return stream.getvalue()


DAMAGED = {
    "empty": b"",
    "text": b"id,target\n1,2\n",
    "zip of nothing": b"PK\x05\x06" + bytes(18),
    "torn zip": npz(ids=np.arange(20), labels=np.arange(20))[:200],
    "a single array": npy(np.arange(20)),
    "no ids": npz(labels=np.arange(20)),
    "objects": npz(ids=np.array([{}] * 20, dtype=object)),
    "a broken reference": npz(
        ids=np.arange(100, 120), labels=np.arange(20), reference=np.array("{")
    ),
    "no labels": npz(ids=np.arange(100, 120)),
    "an unknown compression": of_method(99),
    "a torn header": rezipped(b"{'descr': '<i8'", b"{'descr': ('<i8"),
    "more than memory holds": rezipped(b"(20,), }", b"(9999999999999,), }"),
    "a number for labels": npz(ids=np.arange(100, 120), labels=np.array(1)),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_damaged_answers_are_named_with_what_writes_them(written, content):
    folder, instance = written()
    (folder / "private" / folders.ANSWERS_FILE).write_bytes(content)
    with pytest.raises(
        InvalidInput, match=r"answers\.npz: cannot be read as answers .*--with-answ"
    ):
        datasets.read_private(folder / "private", instance.contract)


def test_answers_that_are_not_there_are_named(tmp_path, instances):
    with pytest.raises(InvalidInput, match=r"No such file.*--with-answers"):
        datasets.read_private(tmp_path, instances["regression"].contract)


def test_answers_of_another_instance_are_refused(written, instances):
    folder, _ = written("classification")
    other = instances["bundled"].contract
    with pytest.raises(InvalidInput, match="the answers of another instance"):
        datasets.read_private(folder / "private", other)


def test_a_pickle_in_the_answers_is_never_loaded(written, tmp_path):
    folder, instance = written()
    target = tmp_path / "opened"
    evil = pickle.dumps(Evil(str(target)))
    for content in (evil, npz(ids=np.array([Evil(str(target))], dtype=object))):
        target.unlink(missing_ok=True)  # numpy pickles the object when it saves, and opens nothing
        (folder / "private" / folders.ANSWERS_FILE).write_bytes(content)
        with pytest.raises(InvalidInput):
            datasets.read_private(folder / "private", instance.contract)
        assert not target.exists()


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_answers_with_damaged_bytes_are_read_or_refused_and_never_crash(
    tmp_path_factory, instances, data
):
    instance = instances["classification"]
    folder = tmp_path_factory.mktemp("flip") / "private"
    datasets.write_private(instance, SEED, folder, {})
    file = folder / folders.ANSWERS_FILE
    content = bytearray(file.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=5)):
        content[place] ^= data.draw(st.integers(1, 255))
    file.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        answers = datasets.read_private(folder, instance.contract)
    except InvalidInput:
        return
    assert isinstance(answers, Answers)


# --- data folders of strangers -----------------------------------------------------------------


def form(**changes):
    whole = {
        "kind": "values",
        "id_column": "id",
        "target": "target",
        "classes": [],
        "probabilities": False,
        "quantiles": [],
    }
    return json.dumps({"submission": {**whole, **changes}})


@pytest.mark.parametrize(
    "config",
    [None, "", "{", "[]", "{}", '{"submission": 5}', '{"submission": []}', "[" * 100_000,
     form(id_column="row"), form(id_column=None), form(classes=None), form(quantiles=1),
     '{"submission": {"id_column": "id"}}', b"\xff"],
)  # fmt: skip
def test_a_folder_that_is_no_data_folder_is_named_with_what_makes_one(tmp_path, config):
    (tmp_path / "sample_submission.csv").write_text("id,target\n1,0\n")
    if config is not None:
        content = config if isinstance(config, bytes) else config.encode()
        (tmp_path / "task_config.json").write_bytes(content)
    with pytest.raises(InvalidInput, match=r"no data folder .*`generate-data ID DIR` makes one"):
        datasets.read_contract(tmp_path)


@pytest.mark.parametrize(
    "sample", [None, "id,target\nx,0\n", "target\n0\n", "id,target\n99999999999999999999,0\n"]
)
def test_a_sample_without_ids_is_no_sample(tmp_path, sample):
    (tmp_path / "task_config.json").write_text(form())
    if sample is not None:
        (tmp_path / "sample_submission.csv").write_text(sample)
    with pytest.raises(InvalidInput, match="no data folder"):
        datasets.read_contract(tmp_path)


def test_a_form_is_read_from_config_and_sample(tmp_path):
    (tmp_path / "task_config.json").write_text(form(quantiles=[0.1, 0.9]))
    (tmp_path / "sample_submission.csv").write_text("id,target\n3,0\n1,0\n")
    contract = datasets.read_contract(tmp_path)
    assert isinstance(contract, Contract)
    assert contract.ids.tolist() == [3, 1]
    assert contract.quantiles == (0.1, 0.9)


# --- digests -----------------------------------------------------------------------------------


def test_digests_are_of_regular_files_below_a_folder_and_follow_no_link(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_text("b")
    (tmp_path / "link").symlink_to("a/b")
    (tmp_path / "folder").symlink_to("/etc")
    os.mkfifo(tmp_path / "fifo")
    assert datasets.digests(tmp_path) == {
        "a/b": "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d"
    }
