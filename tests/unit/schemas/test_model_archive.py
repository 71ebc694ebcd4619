"""Small files that claim or unpack to much are refused before they cost anything, by each reader of archives."""

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
import skops.io

from control_plane.artifacts.errors import NotAModelError
from control_plane.artifacts.skops_format import check_skops
from control_plane.artifacts.torch_format import check_torch
from schemas import model_archive
from schemas.model_archive import UNREADABLE, UnsafeArchiveError, opened_archive
from serving.engines.artifact_check import check_artifact
from serving.engines.errors import MalformedArtifactError
from serving.engines.footprint import estimated_bytes

MEBIBYTE = 1024**2


def archive(*entries: tuple[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as made:
        for name, content in entries:
            made.writestr(name, content)
    return buffer.getvalue()


def zeros_in(name: str, *, mebibytes: int) -> bytes:
    return archive((name, bytes(mebibytes * MEBIBYTE)), compression=zipfile.ZIP_DEFLATED)


def overlapping(*, entries: int, content: bytes) -> bytes:
    """Let many entries of the directory name the same bytes of the file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr("0", content)
        (only,) = made.infolist()
        for number in range(1, entries):
            entry = zipfile.ZipInfo(str(number))
            for name in ("file_size", "compress_size", "CRC", "header_offset"):
                setattr(entry, name, getattr(only, name))
            made.filelist.append(entry)
    return buffer.getvalue()


def claiming(content: bytes, *, directory_bytes: int) -> bytes:
    """Say at the end that the directory is of another size, which it then has."""
    end = content.rindex(b"PK\x05\x06")
    padding = bytes(directory_bytes)
    tail = bytearray(content[end:])
    struct.pack_into("<L", tail, 12, directory_bytes)
    return content[:end] + padding + bytes(tail)


BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "an entry of zeros": (lambda: zeros_in("a", mebibytes=300), "unpacks to too many"),
    "an archive of zeros in the archive": (
        lambda: archive(("1.npz", zeros_in("data.npy", mebibytes=300))),
        "unpacks to too many",
    ),
    "an archive of zeros by another name": (
        lambda: archive(("1.bin", zeros_in("data.npy", mebibytes=300))),
        "unpacks to too many",
    ),
    "many archives of zeros": (
        lambda: archive(*((f"{number}.npz", zeros_in("data.npy", mebibytes=100)) for number in range(3))),
        "unpacks to too many",
    ),
    "an archive in an archive in the archive": (
        lambda: archive(("1.npz", archive(("2.npz", zeros_in("data.npy", mebibytes=1))))),
        "an archive in the archive '1.npz'",
    ),
    "entries that overlap": (lambda: overlapping(entries=10, content=b"x" * MEBIBYTE), "entries that overlap"),
    "an overlap in an archive in the archive": (
        lambda: archive(("1.npz", overlapping(entries=10, content=b"x" * MEBIBYTE))),
        "entries that overlap",
    ),
    "a directory that fills memory": (
        lambda: claiming(archive(("a", b"x")), directory_bytes=33 * MEBIBYTE),
        "has a directory of more than",
    ),
    "many entries": (lambda: archive(*((str(number), b"") for number in range(11))), "more than 10 entries"),
    "many entries in an archive in the archive": (
        lambda: archive(("1.npz", archive(*((str(number), b"") for number in range(11))))),
        "more than 10 entries",
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_archive, "MAX_ENTRIES", 10)
    make, reason = BOMBS[name]

    with pytest.raises(UnsafeArchiveError, match=reason), opened_archive(io.BytesIO(make())):
        pass


@pytest.mark.parametrize("name", BOMBS)
def test_every_reader_refuses_a_bomb(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_archive, "MAX_ENTRIES", 10)
    make, reason = BOMBS[name]
    path = tmp_path / "model"
    path.write_bytes(make())

    for check in (check_skops, check_torch):
        with pytest.raises(NotAModelError) as refused, path.open("rb") as file:
            check(file)
        assert reason in refused.value.detail
    for artifact_format in ("skops", "torch"):
        with pytest.raises(MalformedArtifactError, match=reason):
            check_artifact(artifact_format, path)


def test_an_entry_that_claims_more_than_it_holds_is_refused() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr("a", b"x")
        made.filelist[-1].file_size = 1_000

    with pytest.raises(UnsafeArchiveError, match="a wrong size of 'a'"), opened_archive(buffer):
        pass


def test_a_sparse_matrix_that_skops_wrote_passes_and_counts_with_what_it_unpacks_to(tmp_path: Path) -> None:
    matrix = scipy.sparse.csr_matrix(np.ones((1_000, 1_000)))
    path = tmp_path / "model.skops"
    path.write_bytes(skops.io.dumps(matrix))

    with path.open("rb") as file, opened_archive(file) as (opened, unpacked):
        assert any(entry.filename.endswith(".npz") for entry in opened.infolist())
        assert unpacked > matrix.data.nbytes > path.stat().st_size
    check_artifact("skops", path)
    assert estimated_bytes("skops", path) > 3 * matrix.data.nbytes


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_archive_in_an_archive_passes_however_it_is_packed(compression: int) -> None:
    arrays = io.BytesIO()
    np.savez_compressed(arrays, a=np.arange(10_000), b=np.ones(10_000))

    with opened_archive(io.BytesIO(archive(("1.npz", arrays.getvalue()), compression=compression))) as opened:
        assert opened.unpacked_bytes > 160_000


@pytest.mark.parametrize("content", [b"", b"no archive", archive(("a", b"x"))[:-5], archive(("a.npz", b"PK\x03\x04"))])
def test_what_is_no_archive_is_unreadable(content: bytes) -> None:
    with pytest.raises(UNREADABLE), opened_archive(io.BytesIO(content)):
        pass
