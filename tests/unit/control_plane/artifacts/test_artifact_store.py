"""Files under the digest of their content: whole, or not there."""

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from control_plane.artifacts.artifact_store import ArtifactStore, read_range
from control_plane.artifacts.errors import (
    ArtifactNotFoundError,
    ArtifactStoreUnavailableError,
    ArtifactTooLargeError,
    DigestDiffersError,
    MalformedDigestError,
    NotAModelError,
    RangeNotSatisfiableError,
)
from control_plane.artifacts.inspection import ArtifactInspector
from control_plane.artifacts.ranges import ByteRange, asked_range
from schemas.events.registry import Artifact

CONTENT = b"0123456789" * 10
# IR version, operator set and graph: the least that a ModelProto has.
ONNX = b"\x08\x08\x42\x02\x10\x12\x3a\x03\x12\x01g"


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    made = ArtifactStore(tmp_path / "artifacts", max_bytes=1_000_000)
    made.prepare()
    return made


def put(store: ArtifactStore, content: bytes, *, digest: str | None = None) -> str:
    named = digest or digest_of(content)
    upload = store.receive(named)
    try:
        upload.write(content[:7])
        upload.write(content[7:])
        upload.keep()
    finally:
        upload.close()
    return named


def files(store: ArtifactStore) -> list[str]:
    root = store.path_of(digest_of(b"")).parents[2]
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_a_file_lies_under_its_digest(store: ArtifactStore) -> None:
    digest = put(store, CONTENT)

    name = digest.removeprefix("sha256:")
    assert files(store) == [f"sha256/{name[:2]}/{name}"]
    assert store.path_of(digest).read_bytes() == CONTENT
    found = store.find(digest)
    assert found is not None
    assert found.size_bytes == len(CONTENT)


def test_bytes_of_another_digest_leave_nothing(store: ArtifactStore) -> None:
    with pytest.raises(DigestDiffersError) as caught:
        put(store, CONTENT, digest=digest_of(b"other"))

    assert digest_of(CONTENT) in caught.value.detail
    assert files(store) == []


def test_a_file_above_the_limit_leaves_nothing(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path, max_bytes=len(CONTENT) - 1)
    store.prepare()

    with pytest.raises(ArtifactTooLargeError):
        put(store, CONTENT)

    assert files(store) == []


def test_a_second_upload_mends_a_damaged_file(store: ArtifactStore) -> None:
    digest = put(store, CONTENT)
    store.path_of(digest).write_bytes(b"damaged")

    put(store, CONTENT)

    assert store.path_of(digest).read_bytes() == CONTENT


def test_what_a_crash_left_is_deleted_at_the_next_start(store: ArtifactStore) -> None:
    cut_short = store.receive(digest_of(CONTENT))
    cut_short.write(CONTENT)

    store.prepare()

    assert files(store) == []
    cut_short.close()


@pytest.mark.parametrize(
    "digest", ["", "sha256:", "sha256:" + "0" * 63, "sha256:" + "A" * 64, "md5:" + "0" * 64, "sha256:../../" + "0" * 58]
)
def test_a_text_that_is_no_digest_names_no_file(store: ArtifactStore, digest: str) -> None:
    with pytest.raises(MalformedDigestError) as caught:
        store.find(digest)

    assert caught.value.field == "digest"


def test_an_unknown_file_is_not_opened(store: ArtifactStore) -> None:
    assert store.find(digest_of(CONTENT)) is None
    with pytest.raises(ArtifactNotFoundError):
        store.open(digest_of(CONTENT))


def test_a_disk_that_refuses_is_an_outage(tmp_path: Path) -> None:
    (tmp_path / "artifacts").write_text("a file where the folder should be")

    with pytest.raises(ArtifactStoreUnavailableError):
        ArtifactStore(tmp_path / "artifacts", max_bytes=1).prepare()


def test_a_part_of_a_file_is_read(store: ArtifactStore) -> None:
    digest = put(store, CONTENT)

    assert b"".join(read_range(store.open(digest), start=5, length=10)) == b"5678901234"


@pytest.mark.parametrize(
    ("header", "asked"),
    [
        (None, None),
        ("bytes=0-0", ByteRange(start=0, length=1)),
        ("bytes=10-19", ByteRange(start=10, length=10)),
        ("bytes=90-", ByteRange(start=90, length=10)),
        ("bytes=90-1000", ByteRange(start=90, length=10)),
        ("bytes=-5", ByteRange(start=95, length=5)),
        ("bytes=-500", ByteRange(start=0, length=100)),
        ("bytes=-", None),
        ("bytes=20-10", None),
        ("bytes=0-1,5-6", None),
        ("lines=0-1", None),
    ],
)
def test_one_range_of_bytes_is_understood(header: str | None, asked: ByteRange | None) -> None:
    assert asked_range(header, size_bytes=100) == asked


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_a_range_outside_the_file_is_refused(header: str) -> None:
    with pytest.raises(RangeNotSatisfiableError, match="100 bytes"):
        asked_range(header, size_bytes=100)


def test_a_stored_model_passes_inspection(store: ArtifactStore) -> None:
    digest = put(store, ONNX)

    artifact = ArtifactInspector(store).inspect(digest, artifact_format="onnx").artifact

    assert artifact == Artifact(digest=digest, size_bytes=len(ONNX), format="onnx")


def test_a_stored_file_of_another_format_fails_inspection(store: ArtifactStore) -> None:
    digest = put(store, ONNX)

    with pytest.raises(NotAModelError) as caught:
        ArtifactInspector(store).inspect(digest, artifact_format="skops")

    assert caught.value.field == "artifact"


def test_a_file_that_was_never_uploaded_fails_inspection(store: ArtifactStore) -> None:
    with pytest.raises(ArtifactNotFoundError) as caught:
        ArtifactInspector(store).inspect(digest_of(CONTENT), artifact_format="skops")

    assert caught.value.field == "artifact.digest"


def weights(head: bytes = b'{"__metadata__": {}}', *, length: int | None = None) -> bytes:
    return (len(head) if length is None else length).to_bytes(8, "little") + head + b"numbers"


CONFIGURATION = b'{"architectures": ["LlamaForCausalLM"]}'


def indexed(store: ArtifactStore, *, skip: str = "", **changed: bytes) -> str:
    """Put a model directory and its index into the store; `skip` is named by the index and not there."""
    contents = {"config.json": CONFIGURATION, "model.safetensors": weights()}
    contents |= {".".join(name.rsplit("_", 1)): content for name, content in changed.items()}
    for path, content in contents.items():
        if path != skip:
            put(store, content)
    entries = [
        {"path": path, "digest": digest_of(content), "size_bytes": len(content)} for path, content in contents.items()
    ]
    return put(store, msgspec.json.encode({"files": entries}))


def test_a_model_directory_is_looked_over_file_by_file(store: ArtifactStore) -> None:
    digest = indexed(store)

    artifact = ArtifactInspector(store).inspect(digest, artifact_format="transformers").artifact

    assert (artifact.digest, artifact.format) == (digest, "transformers")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"skip": "model.safetensors"}, "upload every file before the index"),
        ({"model_safetensors": b"short"}, "its head is longer than it"),
        ({"model_safetensors": weights(length=2**40)}, "its head is longer than it"),
        ({"model_safetensors": weights(b"[1, 2, 3]")}, "is no safetensors file"),
        ({"model_safetensors": b"\x80\x04\x95\x00\x00\x00\x00\x00" + b"x" * 200}, "its head is longer than it"),
        ({"config_json": b"{}"}, "names no architecture"),
        ({"config_json": b"{"}, "is no JSON"),
        ({"config_json": b'{"architectures": ["X"], "auto_map": {"AutoModel": "m.X"}}'}, "code of its own"),
    ],
)
def test_a_model_directory_that_is_none_is_refused(store: ArtifactStore, changed: dict[str, Any], reason: str) -> None:
    digest = indexed(store, **changed)

    with pytest.raises(NotAModelError) as refusal:
        ArtifactInspector(store).inspect(digest, artifact_format="transformers")

    assert reason in refusal.value.detail


def test_a_description_with_a_secret_in_its_url_is_refused(store: ArtifactStore) -> None:
    digest = put(store, b'{"protocol": "openai", "url": "https://me:secret@models.example", "model": "m"}')

    with pytest.raises(NotAModelError) as refusal:
        ArtifactInspector(store).inspect(digest, artifact_format="external")

    assert "secret" not in refusal.value.detail


ADAPTER = b'{"peft_type": "LORA", "r": 8, "target_modules": ["q_proj"]}'


def test_the_directory_of_an_adapter_is_looked_over(store: ArtifactStore) -> None:
    with pytest.raises(NotAModelError) as missing:
        ArtifactInspector(store).inspect(
            indexed(store, skip="adapter_config.json", adapter_config_json=ADAPTER), artifact_format="lora"
        )

    assert "upload every file" in missing.value.detail
    whole = indexed(store, adapter_config_json=ADAPTER)
    assert ArtifactInspector(store).inspect(whole, artifact_format="lora").artifact.format == "lora"


@pytest.mark.parametrize(
    ("configuration", "reason"),
    [
        (b'{"peft_type": "IA3", "r": 8}', "no adapter of the type LORA"),
        (b'{"peft_type": "LORA"}', "gives no rank"),
        (b'{"peft_type": "LORA", "r": true}', "gives no rank"),
        (b'{"peft_type": "LORA", "r": 0}', "gives no rank"),
        (b"[]", "is no JSON"),
    ],
)
def test_an_adapter_that_is_none_is_refused(store: ArtifactStore, configuration: bytes, reason: str) -> None:
    digest = indexed(store, adapter_config_json=configuration)

    with pytest.raises(NotAModelError) as refusal:
        ArtifactInspector(store).inspect(digest, artifact_format="lora")

    assert reason in refusal.value.detail


def test_a_model_is_no_adapter(store: ArtifactStore) -> None:
    with pytest.raises(NotAModelError) as refusal:
        ArtifactInspector(store).inspect(indexed(store), artifact_format="lora")

    assert "no adapter_config.json" in refusal.value.detail
