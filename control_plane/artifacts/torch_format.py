"""Looks at an exported program of torch from outside: its members and what its graph is made of. Nothing is loaded.

The runtime looks closer before it loads one; this catches a wrong file at the upload.
"""

import re
import zipfile
from typing import BinaryIO, TypeVar

import msgspec

from control_plane.artifacts.errors import NotAModelError
from control_plane.artifacts.torch_program import TorchProgram, read_program
from schemas.model_archive import UNREADABLE, UnsafeArchiveError, opened_archive

_Shape = TypeVar("_Shape")
_MODEL = re.compile(r"[^/]+/models/model\.json")
_CONFIGS = re.compile(r"[^/]+/data/(?:weights|constants)/[^/]+\.json")
_MAX_DOCUMENT_BYTES = 256 * 1024**2


class _Payload(msgspec.Struct):
    use_pickle: bool = False


class _Payloads(msgspec.Struct):
    config: dict[str, _Payload] = {}


class _Program(msgspec.Struct):
    graph_module: msgspec.Raw
    schema_version: msgspec.Raw


def check_torch(file: BinaryIO) -> TorchProgram | None:
    """Return what the program takes and gives; None where it is written in another way than we know.

    Raises:
        NotAModelError: `torch.export.save` did not write the file, or it holds pickled weights.
    """
    try:
        with opened_archive(file) as (archive, _):
            return read_program(_check_members(archive).graph_module)
    except UnsafeArchiveError as error:
        raise _refusal(f"the archive {error}") from error
    except (*UNREADABLE, OSError) as error:
        raise _refusal("it is not a readable zip archive") from error


def _check_members(archive: zipfile.ZipFile) -> _Program:
    members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise _refusal("a member is compressed, which torch.export.save never does")
    programs = [member for member in members if _MODEL.fullmatch(member.filename)]
    if len(programs) != 1:
        raise _refusal("it has no models/model.json; save it by torch.export.save of torch 2.9 or later")
    program = _decode(archive, programs[0], _Program)
    for member in members:
        if _CONFIGS.fullmatch(member.filename):
            payloads = _decode(archive, member, _Payloads)
            if any(payload.use_pickle for payload in payloads.config.values()):
                raise _refusal("it stores a tensor as a pickle")
    return program


def _decode(archive: zipfile.ZipFile, member: zipfile.ZipInfo, shape: type[_Shape]) -> _Shape:
    if member.file_size > _MAX_DOCUMENT_BYTES:
        raise _refusal(f"{member.filename} is too large")
    try:
        return msgspec.json.decode(archive.read(member), type=shape)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _refusal(f"{member.filename} is not one of torch's documents") from error


def _refusal(reason: str) -> NotAModelError:
    return NotAModelError(artifact_format="torch", reason=reason)
