"""Files are there whole or not at all, and belong to one owner."""

from itertools import count
from pathlib import Path

import msgspec
import pytest

from workers.batch_server.callers import Caller
from workers.batch_server.errors import ApiError
from workers.batch_server.file_store import FileStore, Incoming, StoredFile, digest_of

OWNER = Caller("default", "principal-1", ("*",))


def store(folder: Path) -> FileStore:
    ids = count(len(list(folder.glob("file-*"))) if folder.exists() else 0)
    opened = FileStore(folder, new_id=lambda: f"file-{next(ids)}")
    opened.open()
    return opened


def known(file_id: str, incoming: Incoming, **changes: object) -> StoredFile:
    described = {
        "id": file_id,
        "workspace": "default",
        "owner": "principal-1",
        "filename": "in.jsonl",
        "purpose": "batch",
        "size_bytes": incoming.size_bytes,
        "sha256": incoming.sha256,
        "created_at_s": 1_000,
        "expires_at_s": 2_000,
    }
    return StoredFile(**{**described, **changes})  # type: ignore[arg-type]


def keep(files: FileStore, content: bytes = b"a\nb\n", **changes: object) -> StoredFile:
    with files.incoming() as (file_id, incoming):
        incoming.write(content)
        stored = known(file_id, incoming, **changes)
        incoming.finish(stored)
    files.kept(stored)
    return stored


def test_a_kept_file_is_there_after_a_restart(tmp_path: Path) -> None:
    stored = keep(store(tmp_path / "files"))

    again = store(tmp_path / "files")

    assert again.of(OWNER, stored.id) == stored
    assert again.content(stored).read_bytes() == b"a\nb\n"
    assert digest_of(again.content(stored)) == (stored.sha256, 4, 2)


def test_an_upload_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    files = store(tmp_path / "files")

    def break_off() -> None:
        with files.incoming() as (_, incoming):
            incoming.write(b"half")
            raise ConnectionError

    with pytest.raises(ConnectionError):
        break_off()

    assert list((tmp_path / "files").iterdir()) == []


def test_what_a_killed_process_left_half_done_is_swept_away(tmp_path: Path) -> None:
    stored = keep(store(tmp_path / "files"))
    (tmp_path / "files" / ".incoming-file-7").mkdir()
    (tmp_path / "files" / ".leaving-file-8").mkdir()
    (tmp_path / "files" / ".leaving-file-8" / "content").write_bytes(b"x")

    again = store(tmp_path / "files")

    assert [path.name for path in (tmp_path / "files").iterdir()] == [stored.id]
    assert again.count == 1


def test_a_deleted_file_takes_its_content_with_it(tmp_path: Path) -> None:
    files = store(tmp_path / "files")
    stored = keep(files)

    files.delete(stored.id)
    files.delete(stored.id)

    assert list((tmp_path / "files").iterdir()) == []
    with pytest.raises(ApiError):
        files.of(OWNER, stored.id)


@pytest.mark.parametrize("stranger", [Caller("default", "principal-2"), Caller("other", "principal-1")])
def test_a_stranger_sees_no_file(tmp_path: Path, stranger: Caller) -> None:
    files = store(tmp_path / "files")
    stored = keep(files)

    with pytest.raises(ApiError) as caught:
        files.of(stranger, stored.id)

    assert (caught.value.status, caught.value.code) == (404, "file_not_found")
    assert files.all_of(stranger) == []
    assert files.used_bytes(stranger) == 0


def test_a_file_of_a_content_on_disk_is_made_once(tmp_path: Path) -> None:
    files = store(tmp_path / "files")
    content = tmp_path / "output.jsonl"
    content.write_bytes(b"x\n")
    made = msgspec.structs.replace(keep(files, b"x\n"), id="file-out", purpose="batch_output")

    for _ in range(2):
        files.adopt(content, made)
    again = store(tmp_path / "files")
    again.adopt(content, made)
    content.unlink()

    assert again.content(again.of(OWNER, "file-out")).read_bytes() == b"x\n"


@pytest.mark.parametrize(
    ("now_s", "erased", "gone"),
    [(1_999, frozenset(), False), (2_000, frozenset(), True), (1_500, frozenset({"principal-1"}), True)],
)
def test_files_are_outdated_by_their_time_or_their_owners_erasure(
    tmp_path: Path, now_s: int, erased: frozenset[str], *, gone: bool
) -> None:
    files = store(tmp_path / "files")
    stored = keep(files)

    assert files.outdated(now_s=now_s, erased=erased) == ([stored.id] if gone else [])
