"""What a workspace keeps is counted as it comes, and never above its quota, however files arrive."""

import threading
from pathlib import Path

import pytest

from control_plane.artifacts.artifact_store import ArtifactLimits, ArtifactStore, ArtifactStores
from control_plane.artifacts.errors import (
    ArtifactQuotaExceededError,
    ArtifactStoreUnavailableError,
    DigestDiffersError,
    TooManyUploadsError,
)
from control_plane.artifacts.space import Space
from control_plane.artifacts.upload_turns import UploadTurns
from tests.support.artifact_files import digest_of, put

QUOTA = 100


def a_store(folder: Path) -> ArtifactStore:
    store = ArtifactStore(folder, max_bytes=10 * QUOTA, space=Space(workspace="team", quota_bytes=QUOTA))
    store.prepare()
    return store


def incoming(store: ArtifactStore) -> list[Path]:
    return list((store.path_of(digest_of(b"")).parents[2] / "incoming").iterdir())


def test_a_file_above_the_quota_is_refused_with_what_is_used_and_leaves_nothing(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    put(store, b"a" * 60)

    with pytest.raises(ArtifactQuotaExceededError) as caught:
        put(store, b"b" * 41)

    assert "team already uses 67 of its 100 bytes" in caught.value.detail
    assert store.space.used_bytes == 60
    assert incoming(store) == []
    put(store, b"c" * 40)
    assert store.space.used_bytes == QUOTA


def test_a_size_that_is_announced_is_refused_before_a_byte_arrives(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    kept = put(store, b"a" * 60)

    store.require_space(digest_of(b"b" * 40), 40)
    store.require_space(kept, 60)
    with pytest.raises(ArtifactQuotaExceededError):
        store.require_space(digest_of(b"b" * 41), 41)


def test_a_file_that_is_sent_again_counts_once_and_fits_although_the_quota_is_used_up(tmp_path: Path) -> None:
    store = a_store(tmp_path)

    for _ in range(3):
        put(store, b"a" * QUOTA)

    assert store.space.used_bytes == QUOTA


def test_a_damaged_file_that_is_mended_counts_with_its_right_size(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    digest = put(store, b"a" * 60)
    store.path_of(digest).write_bytes(b"a" * 10)
    store.prepare()
    assert store.space.used_bytes == 10

    put(store, b"a" * 60)

    assert store.space.used_bytes == 60


def test_the_same_file_in_two_uploads_at_once_counts_once(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    content = b"a" * 50
    uploads = [store.receive(digest_of(content)) for _ in range(2)]

    for upload in uploads:
        upload.write(content)
    for upload in uploads:
        upload.keep()
        upload.close()

    assert store.space.used_bytes == 50


def test_uploads_at_once_cannot_exceed_the_quota_together(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    first, second, third = (store.receive(digest_of(name)) for name in (b"a", b"b", b"c"))
    first.write(b"a" * 60)

    with pytest.raises(ArtifactQuotaExceededError):
        second.write(b"b" * 60)
    first.close()
    third.write(b"c" * 60)
    second.close()
    third.close()

    assert store.space.used_bytes == 0


def test_what_is_not_kept_gives_its_bytes_back(tmp_path: Path) -> None:
    store = a_store(tmp_path)

    for _ in range(5):
        with pytest.raises(DigestDiffersError):
            put(store, b"a" * 90, digest=digest_of(b"other"))

    assert store.space.used_bytes == 0
    assert incoming(store) == []


def test_what_was_kept_before_a_restart_counts(tmp_path: Path) -> None:
    put(a_store(tmp_path), b"a" * 60)

    assert a_store(tmp_path).space.used_bytes == 60


def test_each_workspace_has_a_quota_of_its_own(tmp_path: Path) -> None:
    stores = ArtifactStores(tmp_path, home="default", limits=ArtifactLimits(max_bytes=QUOTA, quota_bytes=QUOTA))
    put(stores.of("default"), b"a" * QUOTA)

    put(stores.of("other"), b"a" * QUOTA)

    with pytest.raises(ArtifactQuotaExceededError, match="other"):
        put(stores.of("other"), b"b")


def test_an_upload_that_is_given_up_while_it_writes_leaves_nothing(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    upload = store.receive(digest_of(b"a"))
    refused = threading.Event()

    def write_on() -> None:
        try:
            while True:
                upload.write(b"")
        except ArtifactStoreUnavailableError:
            refused.set()

    writing = threading.Thread(target=write_on)
    writing.start()
    upload.close()
    writing.join()

    assert refused.is_set()
    assert incoming(store) == []


def test_uploads_at_once_are_limited_in_a_workspace_and_in_all() -> None:
    turns = UploadTurns(at_once=3, at_once_each=2)

    with turns.turn("one"), turns.turn("one"):
        with pytest.raises(TooManyUploadsError, match="workspace one"), turns.turn("one"):
            pass
        with turns.turn("two"), pytest.raises(TooManyUploadsError, match="in all"), turns.turn("two"):
            pass
        with turns.turn("three"):
            pass
    with turns.turn("one"), turns.turn("one"):
        pass
