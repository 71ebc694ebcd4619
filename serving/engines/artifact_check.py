"""Checks whether a file looks like its format, without loading any of it."""

import json
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath

from schemas.events.registry import ArtifactFormat
from schemas.external_engine import MAX_BYTES, read_description
from schemas.model_archive import UNREADABLE, UnsafeArchiveError, opened_archive
from schemas.model_directory import ADAPTER_CONFIGURATION, MAX_INDEX_BYTES, read_index
from serving.engines.catboost_file import check_catboost
from serving.engines.errors import CannotLoadError, MalformedArtifactError
from serving.engines.exported_program import check_program
from serving.engines.lightgbm_file import check_lightgbm
from serving.engines.xgboost_file import check_xgboost

_SCHEMA = "schema.json"
_MAX_SCHEMA_BYTES = 64 * 1024**2

# The first field of every ONNX file that a library writes: field 1 (ir_version), varint.
_ONNX_IR_VERSION_TAG = 0x08
_ONNX_KNOWN_IR_VERSIONS = range(1, 64)
_ONNX_FIELDS = frozenset({2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26})


def check_artifact(artifact_format: ArtifactFormat, path: Path) -> None:
    """Check a file statically.

    Raises:
        MalformedArtifactError: it is not of its format, or is built to harm whoever unpacks it.
        CannotLoadError: the format is unknown.
    """
    check = _CHECKS.get(artifact_format)
    if check is None:
        raise CannotLoadError(
            f"there is no check for the format {artifact_format!r}; known formats are {', '.join(_CHECKS)}"
        )
    check(path)


def _check_skops(path: Path) -> None:
    try:
        with path.open("rb") as file, opened_archive(file) as (archive, _):
            _check_members(archive)
            schema = json.loads(archive.read(_SCHEMA))
    except UnsafeArchiveError as error:
        raise MalformedArtifactError(f"the archive {error}") from error
    except (*UNREADABLE, RecursionError) as error:
        raise MalformedArtifactError("the artifact is not a skops file (a zip archive with a schema.json)") from error
    if not isinstance(schema, dict) or not {"__loader__", "__module__", "__class__", "protocol"} <= schema.keys():
        raise MalformedArtifactError("the artifact's schema.json does not describe an object saved by skops")


def _check_members(archive: zipfile.ZipFile) -> None:
    for member in archive.infolist():
        name = PurePosixPath(member.filename.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts or ":" in name.parts[0]:
            raise MalformedArtifactError(f"the archive holds {member.filename!r}, a path that leads outside it")
        if member.filename == _SCHEMA and member.file_size > _MAX_SCHEMA_BYTES:
            raise MalformedArtifactError(f"the archive's schema.json is larger than {_MAX_SCHEMA_BYTES} bytes")


def _check_onnx(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(3)
    # A second varint byte would mean an IR version above 127, which no release of ONNX has.
    known = len(head) == 3 and head[0] == _ONNX_IR_VERSION_TAG and head[1] in _ONNX_KNOWN_IR_VERSIONS  # noqa: PLR2004
    if not known or head[2] >> 3 not in _ONNX_FIELDS:
        raise MalformedArtifactError("the artifact is not an ONNX model: it does not begin like a ModelProto")


def _check_transformers(path: Path) -> None:
    # The index's digest covers those of the files, which are verified one by one as they arrive.
    _check_document(path, read_index, max_bytes=MAX_INDEX_BYTES)


def _check_lora(path: Path) -> None:
    _check_document(path, partial(read_index, configuration=ADAPTER_CONFIGURATION), max_bytes=MAX_INDEX_BYTES)


def _check_external(path: Path) -> None:
    _check_document(path, read_description, max_bytes=MAX_BYTES)


def _check_document(path: Path, read: Callable[[bytes], object], *, max_bytes: int) -> None:
    try:
        with path.open("rb") as file:
            read(file.read(max_bytes + 1))
    except ValueError as error:
        raise MalformedArtifactError(f"the artifact does not match its format: {error}") from error


_CHECKS: dict[ArtifactFormat, Callable[[Path], None]] = {
    "skops": _check_skops,
    "onnx": _check_onnx,
    "torch": check_program,
    "xgboost": check_xgboost,
    "lightgbm": check_lightgbm,
    "catboost": check_catboost,
    "transformers": _check_transformers,
    "lora": _check_lora,
    "external": _check_external,
}
