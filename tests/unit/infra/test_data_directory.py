from pathlib import Path

import pytest

from infra.data_directory import exclusive, open_data_directory, write_atomically
from infra.errors import DataDirectoryError, StackAlreadyRunningError


def test_a_new_directory_gets_its_layout_and_format(tmp_path: Path) -> None:
    data = open_data_directory(tmp_path / "deep" / "data")

    assert (data.root / "format").read_text() == "1\n"
    assert data.run.is_dir()
    assert data.logs.is_dir()
    assert open_data_directory(data.root) == data


def test_another_format_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "format").write_text("7\n")

    with pytest.raises(DataDirectoryError, match="has format '7', but this Rollbook reads format '1'"):
        open_data_directory(tmp_path)

    assert [entry.name for entry in tmp_path.iterdir()] == ["format"]


def test_a_directory_with_foreign_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()

    with pytest.raises(DataDirectoryError, match="not empty and was not made by Rollbook"):
        open_data_directory(tmp_path)


def test_a_directory_without_room_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataDirectoryError, match="MiB free but needs"):
        open_data_directory(tmp_path, min_free_bytes=2**62)


def test_a_directory_that_cannot_be_written_is_refused() -> None:
    # No one, not even root, may make directories in sysfs.
    with pytest.raises(DataDirectoryError, match="cannot be written; give this user write permission"):
        open_data_directory(Path("/sys/rollbook-data"))


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").touch()

    with pytest.raises(DataDirectoryError, match="is not a directory"):
        open_data_directory(tmp_path / "data")


def test_the_lock_names_its_holder_and_is_free_afterwards(tmp_path: Path) -> None:
    data = open_data_directory(tmp_path)

    with exclusive(data), pytest.raises(StackAlreadyRunningError, match="already running") as refused, exclusive(data):
        pass

    assert refused.value.pid is not None
    with exclusive(data):
        pass


def test_a_failed_write_leaves_the_old_content_and_no_rubbish(tmp_path: Path) -> None:
    path = tmp_path / "state"
    write_atomically(path, b"old")

    with pytest.raises(TypeError):
        write_atomically(path, "text")  # type: ignore[arg-type]

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
