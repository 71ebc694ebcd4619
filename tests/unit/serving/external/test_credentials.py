"""A credential goes to the origin that its owner wrote beside it, and nowhere else."""

import json
from pathlib import Path

import pytest

from infra.errors import CannotStartError
from serving.external.credentials import read_credential

URL = "https://models.example/v0"


def write(folder: Path, fields: dict[str, str] | None = None, *, mode: int = 0o600) -> None:
    path = folder / "prod"
    path.write_text(json.dumps({"origin": "https://models.example", "value": "Bearer sk-1", **(fields or {})}))
    path.chmod(mode)


def test_a_credential_is_read_for_its_own_origin(tmp_path: Path) -> None:
    write(tmp_path)

    credential = read_credential(tmp_path, "prod", url="https://MODELS.example:443/other/path")

    assert (credential.header, credential.value) == ("authorization", "Bearer sk-1")
    assert "sk-1" not in repr(credential)


@pytest.mark.parametrize(
    "url", ["http://models.example", "https://models.example:8443", "https://models.example.evil", "https://evil"]
)
def test_no_description_has_it_sent_elsewhere(tmp_path: Path, url: str) -> None:
    write(tmp_path)

    with pytest.raises(CannotStartError, match=r"is for https://models\.example, not for") as refusal:
        read_credential(tmp_path, "prod", url=url)
    assert "sk-1" not in str(refusal.value)


def test_one_that_others_may_read_is_refused(tmp_path: Path) -> None:
    write(tmp_path, mode=0o640)

    with pytest.raises(CannotStartError, match="chmod 600"):
        read_credential(tmp_path, "prod", url=URL)


def test_a_missing_one_says_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(CannotStartError, match=r"write \{.origin"):
        read_credential(tmp_path, "prod", url=URL)


@pytest.mark.parametrize("fields", [{"value": "a\r\nx: y"}, {"value": ""}, {"header": "x y"}, {"more": "1"}])
def test_one_that_no_header_could_carry_is_refused(tmp_path: Path, fields: dict[str, str]) -> None:
    write(tmp_path, fields)

    with pytest.raises(CannotStartError) as refusal:
        read_credential(tmp_path, "prod", url=URL)
    assert "sk-1" not in str(refusal.value)
