"""Writing text files whole or not at all."""

import errno
import os
import stat

import pytest

from tasks.files import write_text

FULL_DISK = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
"""
"""A process whose files cannot grow: writing fails half-way, as on a full disk."""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.txt"


def names(path):
    return [entry.name for entry in path.parent.iterdir()]


@pytest.mark.parametrize("durable", [True, False])
def test_text_is_written_as_utf_8_for_all_to_read(path, durable):
    write_text(path, "ä\r\n", durable=durable)
    assert path.read_bytes() == "ä\r\n".encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert names(path) == ["file.txt"]


def test_what_was_there_is_replaced_and_open_readers_keep_the_old(path):
    path.write_text("old")
    with path.open() as reader:
        write_text(path, "new")
        assert reader.read() == "old"
    assert path.read_text() == "new"


def test_a_name_as_long_as_the_file_system_allows_can_be_written(tmp_path):
    write_text(tmp_path / ("x" * 255), "text")
    assert (tmp_path / ("x" * 255)).read_text() == "text"


def test_text_that_cannot_be_encoded_leaves_nothing_behind(path):
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "\ud800")
    assert path.read_text() == "old"
    assert names(path) == ["file.txt"]


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("other")])
def test_what_is_no_regular_file_is_left_alone(path, make):
    make(path)
    before = path.lstat()
    with pytest.raises(FileExistsError, match="not a regular file") as caught:
        write_text(path, "text")
    assert caught.value.filename == str(path)
    assert path.lstat() == before
    assert names(path) == ["file.txt"]


def test_an_error_names_the_file_that_was_asked_for(tmp_path):
    for path, code in [
        (tmp_path / "no" / "x", errno.ENOENT),
        (tmp_path / ("x" * 256), errno.ENAMETOOLONG),
    ]:
        with pytest.raises(OSError, match=r".") as caught:
            write_text(path, "text")
        assert (caught.value.errno, caught.value.filename) == (code, str(path))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_an_error(process, tmp_path):
    """As a user who may not write there, for whoever runs the tests."""
    place = tmp_path / "place"
    place.mkdir(mode=0o555)
    ended = process(
        "-c",
        "import os, sys\n"
        "from pathlib import Path\n"
        "from tasks.files import write_text\n"
        "if os.geteuid() == 0: os.seteuid(65534)\n"
        "try: write_text(Path(sys.argv[1]), 'text')\n"
        "except PermissionError as error: print(error.filename)\n",
        "place/file.txt",
    )
    assert ended.out == "place/file.txt\n", ended.err
    assert list(place.iterdir()) == []


def test_a_full_disk_leaves_what_was_there(process, path):
    path.write_text("old")
    ended = process(
        "-c",
        FULL_DISK + "from tasks.files import write_text\n"
        "try: write_text(Path(sys.argv[1]), 'x' * 10_000)\n"
        "except OSError as error: print(error.filename)\n",
        path,
    )
    assert ended.out == f"{path}\n", ended.err
    assert path.read_text() == "old"
    assert names(path) == ["file.txt"]
