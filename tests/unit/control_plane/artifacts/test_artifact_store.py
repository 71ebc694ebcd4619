"""Files under the digest of their content: whole, or not there."""

from pathlib import Path

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
from control_plane.artifacts.ranges import ByteRange, asked_range
from schemas.events.registry import Artifact
from tests.support.artifact_files import digest_of, put
from tests.unit.control_plane.artifacts.inspecting import inspected

CONTENT = b"0123456789" * 10
# IR version, operator set and graph: the least that a ModelProto has.
ONNX = b"\x08\x08\x42\x02\x10\x12\x3a\x03\x12\x01g"


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

    artifact = inspected(store, digest, artifact_format="onnx").artifact

    assert artifact == Artifact(digest=digest, size_bytes=len(ONNX), format="onnx")


def test_a_stored_file_of_another_format_fails_inspection(store: ArtifactStore) -> None:
    digest = put(store, ONNX)

    with pytest.raises(NotAModelError) as caught:
        inspected(store, digest, artifact_format="skops")

    assert caught.value.field == "artifact"


def test_a_file_that_was_never_uploaded_fails_inspection(store: ArtifactStore) -> None:
    with pytest.raises(ArtifactNotFoundError) as caught:
        inspected(store, digest_of(CONTENT), artifact_format="skops")

    assert caught.value.field == "artifact.digest"


def test_a_description_with_a_secret_in_its_url_is_refused(store: ArtifactStore) -> None:
    digest = put(store, b'{"protocol": "openai", "url": "https://me:secret@models.example", "model": "m"}')

    with pytest.raises(NotAModelError) as refusal:
        inspected(store, digest, artifact_format="external")

    assert "secret" not in refusal.value.detail
