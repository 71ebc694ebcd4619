"""Looks at a skops file from outside: its members and its schema. Nothing in it is loaded or run."""

import re
import zipfile
from pathlib import PurePosixPath
from typing import IO, BinaryIO

import msgspec

from control_plane.artifacts.errors import NotAModelError
from control_plane.artifacts.skops_model import SkopsModel, read_model
from schemas.model_archive import UNREADABLE, UnsafeArchiveError, in_order, opened_archive

_SCHEMA = "schema.json"
_MAX_SCHEMA_BYTES = 64 * 1024**2
_DATA_SUFFIXES = {".json", ".npy", ".npz", ".bin"}
_ENCRYPTED = 0x1
_NPY_MAGIC = b"\x93NUMPY"
_MAX_NPY_HEADER_BYTES = 64 * 1024
# An array of Python objects is a pickle inside an .npy file.
_OBJECT_DTYPE = re.compile(rb"""['"][|<>=]?O\d*['"]""")


class _Schema(msgspec.Struct, frozen=True):
    """What each skops schema says of its outermost object."""

    name: str = msgspec.field(name="__class__")
    module: str = msgspec.field(name="__module__")
    loader: str = msgspec.field(name="__loader__")
    protocol: int


def check_skops(file: BinaryIO) -> SkopsModel:
    """Return what the file says of its model.

    Raises:
        NotAModelError: skops did not write the file.
        UnservableModelError: it has types of others than scikit-learn and numpy.
    """
    try:
        with opened_archive(file) as (archive, _):
            _check_members(archive.infolist())
            _check_schema(archive)
            arrays = _check_arrays(archive)
            return read_model(archive.read(_SCHEMA), arrays)
    except UnsafeArchiveError as error:
        raise _refusal(f"the archive {error}") from error
    except (*UNREADABLE, OSError) as error:
        raise _refusal("it is not a readable zip archive") from error


def _check_members(members: list[zipfile.ZipInfo]) -> None:
    names = [member.filename for member in members]
    if len(set(names)) != len(names):
        raise _refusal("two members have the same name")
    if _SCHEMA not in names:
        raise _refusal(f"it has no {_SCHEMA}")
    for member in members:
        _check_member(member)


def _check_member(member: zipfile.ZipInfo) -> None:
    path = PurePosixPath(member.filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in member.filename:
        raise _refusal("a member's path leads outside the archive")
    if path.suffix.lower() not in _DATA_SUFFIXES:
        kind = path.suffix[:20] or "without suffix"
        raise _refusal(f"it has a member of the kind {kind!r}, which skops never writes")
    if member.flag_bits & _ENCRYPTED:
        raise _refusal("it is encrypted")


def _check_schema(archive: zipfile.ZipFile) -> None:
    if archive.getinfo(_SCHEMA).file_size > _MAX_SCHEMA_BYTES:
        raise _refusal(f"its {_SCHEMA} is too large")
    try:
        msgspec.json.decode(archive.read(_SCHEMA), type=_Schema)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _refusal(f"its {_SCHEMA} does not describe an object") from error


def _check_arrays(archive: zipfile.ZipFile) -> dict[str, bytes]:
    """Look into the arrays, and into the .npz members, which are zip archives of arrays themselves.

    Returns:
        the headers of the arrays by the names of their members.
    """
    headers: dict[str, bytes] = {}
    for member in archive.infolist():
        suffix = PurePosixPath(member.filename).suffix.lower()
        if suffix == ".npy":
            with archive.open(member) as array:
                headers[member.filename] = _check_array(array)
        elif suffix == ".npz":
            with archive.open(member) as inner, zipfile.ZipFile(inner) as arrays:
                for each in in_order(arrays):
                    with arrays.open(each) as array:
                        _check_array(array)
    return headers


def _check_array(array: IO[bytes]) -> bytes:
    start = array.read(len(_NPY_MAGIC) + 2)
    if not start.startswith(_NPY_MAGIC):
        raise _refusal("an array in it is not a NumPy array")
    is_first_version = start[-2:-1] == b"\x01"
    length = int.from_bytes(array.read(2 if is_first_version else 4), "little")
    if length > _MAX_NPY_HEADER_BYTES:
        raise _refusal("an array in it has a header that is too long")
    header = array.read(length)
    if _OBJECT_DTYPE.search(header):
        raise _refusal("an array in it holds pickled objects")
    return header


def _refusal(reason: str) -> NotAModelError:
    return NotAModelError(artifact_format="skops", reason=reason)
