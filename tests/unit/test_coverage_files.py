"""What a killed process leaves of its coverage cannot fail the run of the tests."""

import os

import pytest
from coverage import CoverageData
from coverage.exceptions import DataError


def written(path, *, lines):
    data = CoverageData(basename=str(path))
    data.add_lines({f"module{number}.py": range(1, lines) for number in range(50)})
    data.close()


def test_files_of_killed_processes_are_discarded_and_others_kept(
    tmp_path, broken_coverage_discarded
):
    for name in ("whole", "torn", "cut", "empty"):
        written(tmp_path / f".coverage.{name}", lines=900)
    with (tmp_path / ".coverage.torn").open("r+b") as torn:  # its head is whole, so it opens
        torn.seek(4096)
        torn.write(os.urandom(8192))
    os.truncate(tmp_path / ".coverage.cut", 5000)
    os.truncate(tmp_path / ".coverage.empty", 0)
    with pytest.raises(DataError):
        CoverageData(basename=str(tmp_path / ".coverage.all")).update(
            CoverageData(basename=str(tmp_path / ".coverage.torn"))
        )
    (tmp_path / ".coverage.all").unlink(missing_ok=True)
    assert broken_coverage_discarded(tmp_path) == [
        ".coverage.cut",
        ".coverage.empty",
        ".coverage.torn",
    ]
    assert [file.name for file in tmp_path.iterdir()] == [".coverage.whole"]
