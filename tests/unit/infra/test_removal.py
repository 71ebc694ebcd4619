import os
from pathlib import Path

from infra.removal import remove_folder

DEPTH = 2_000


def test_a_folder_is_removed_however_deep_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "deep"
    folder.mkdir()
    handle = os.open(folder, os.O_RDONLY)
    for _ in range(DEPTH):
        os.mkdir("in", dir_fd=handle)
        inner = os.open("in", os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = inner
    os.close(handle)

    assert remove_folder(folder)
    assert not folder.exists()


def test_a_folder_is_removed_whatever_its_modes(tmp_path: Path) -> None:
    (tmp_path / "closed" / "inside").mkdir(parents=True)
    (tmp_path / "closed" / "inside" / "file").write_bytes(b"x")
    (tmp_path / "closed" / "inside").chmod(0)

    assert remove_folder(tmp_path / "closed")


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to(tmp_path / "kept")

    assert remove_folder(tmp_path / "folder")
    assert (tmp_path / "kept").is_dir()


def test_a_folder_that_is_not_there_is_gone(tmp_path: Path) -> None:
    assert remove_folder(tmp_path / "nowhere")
