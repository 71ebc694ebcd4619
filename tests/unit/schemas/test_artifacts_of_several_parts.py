"""Indexes of model directories and descriptions of servers: what may stand in them, and what never."""

import msgspec
import pytest

from schemas.external_engine import read_description
from schemas.model_directory import read_index

DIGEST = "sha256:" + "0" * 64
FILES = ("config.json", "model.safetensors", "tokenizer.json")


def index(*paths: str, digest: str = DIGEST, size: int = 1) -> bytes:
    files = [{"path": path, "digest": digest, "size_bytes": size} for path in paths]
    return msgspec.json.encode({"files": files})


def test_a_directory_of_weights_and_texts_is_taken() -> None:
    found = read_index(index(*FILES, "chat_template.jinja", "1_Pooling/config.json"))

    assert [file.path for file in found.files][-1] == "1_Pooling/config.json"


@pytest.mark.parametrize(
    "path",
    [
        "../config.json",
        "/etc/config.json",
        "a/../../b.json",
        "a//b.json",
        "./b.json",
        "a\\..\\b.json",
        "C:b.json",
        "a\x00.json",
        "a\nb.json",
        ".hidden.json",
        "..json",
        "",
        "a/b/c/d/e.json",
        "é.json",
        "x" * 200 + ".json",
    ],
)
def test_a_path_that_leads_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="not a path inside the directory"):
        read_index(index(*FILES, path))


@pytest.mark.parametrize("path", ["pytorch_model.bin", "model.pt", "modeling.py", "a.so", "weights.pkl", "noending"])
def test_a_file_that_could_hold_a_program_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="the files that a model may have"):
        read_index(index(*FILES, path))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "not an index of files"),
        (b'{"files": [], "more": 1}', "not an index of files"),
        (index(*FILES, "Config.json"), "names a file twice"),
        (index(*FILES, "config.json/a.json"), "as another file's folder"),
        (index("config.json"), "no .safetensors file"),
        (index("Config.json", "model.safetensors"), "no config.json"),
        (index("config.json", "model.SAFETENSORS"), "no .safetensors file"),
        (index("model.safetensors"), "no config.json"),
        (index(*FILES, digest="sha256:0"), "no digest and size"),
        (index(*FILES, size=-1), "no digest and size"),
        (index(*FILES, *(f"{number}.txt" for number in range(1_000))), "more than 1000 files"),
        (b" " * 2_000_000, "larger than"),
    ],
)
def test_an_index_that_is_none_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_index(content)


def described(**changes: object) -> bytes:
    description = {"protocol": "openai", "url": "https://models.example/v0", "model": "story", "credential": "prod"}
    return msgspec.json.encode({**description, **changes})


def test_a_server_is_described_by_its_url_and_the_name_of_a_credential() -> None:
    assert read_description(described()).credential == "prod"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"url": "https://user:secret@models.example"}, "more than an address"),
        ({"url": "https://models.example?key=secret"}, "more than an address"),
        ({"url": "file:///etc/passwd"}, "not http"),
        ({"url": "https://"}, "not http"),
        ({"url": "http://host:99999"}, "out of range"),
        ({"protocol": "telnet"}, "does not describe a server"),
        ({"authorization": "Bearer secret"}, "does not describe a server"),
        ({"credential": "../admin.token"}, "credential is not a valid name"),
        ({"model": ""}, "what the server calls the model"),
        ({"model": "x" * 20_000}, "larger than"),
    ],
)
def test_a_description_that_would_leak_or_lead_astray_is_refused(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_description(described(**changes))
