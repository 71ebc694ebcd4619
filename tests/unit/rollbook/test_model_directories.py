"""What the client takes of a model directory, and the index that it makes of it."""

from pathlib import Path

import pytest

from rollbook import _wire
from rollbook.errors import RollbookError
from schemas.model_directory import read_index


def test_the_index_is_one_that_the_registry_takes(tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors", "1_Pooling/config.json", ".gitattributes", ".cache/x.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)

    files = _wire.files_of(tmp_path)

    found = read_index(_wire.index_of(files, _wire.digests_of(files))).files
    assert [file.path for file in found] == ["1_Pooling/config.json", "config.json", "model.safetensors"]
    assert found[1].size_bytes == len("config.json")
    assert _wire.format_of(tmp_path) == "transformers"


def test_a_directory_of_an_adapter_is_told_from_that_of_a_model(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")

    assert _wire.format_of(tmp_path) == "lora"


def test_a_link_out_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("mine")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").symlink_to(tmp_path / "secret.txt")

    with pytest.raises(RollbookError, match="points out of"):
        _wire.files_of(tmp_path / "model")


def test_an_empty_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RollbookError, match="holds no file"):
        _wire.files_of(tmp_path)
