"""A model of several files: the artifact is an index of them, and each is a file of the artifact store by itself.

So a tokenizer that two versions share is kept and fetched once, and a fetch that breaks off goes on file by file.
"""

import re
from typing import Final

import msgspec

MAX_FILES: Final = 1_000
MAX_INDEX_BYTES: Final = 1024 * 1024
WEIGHTS: Final = ".safetensors"
CONFIGURATION: Final = "config.json"
ADAPTER_CONFIGURATION: Final = "adapter_config.json"
"""What makes a directory an adapter, as PEFT writes it, and not a model."""
SUFFIXES: Final = (".json", ".jinja", ".md", ".model", ".txt", WEIGHTS)
"""What a directory may hold: weights without code, texts and tokenizers. No pickle (.bin, .pt, .pth), no program."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_MAX_PARTS = 4


class DirectoryFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file: its path below the directory with `/` between the parts, and what it holds."""

    path: str
    digest: str
    size_bytes: int


class ModelDirectory(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The index."""

    files: tuple[DirectoryFile, ...]


def read_index(content: bytes, *, configuration: str = CONFIGURATION) -> ModelDirectory:
    """Read an index and make sure that it can be laid out below a directory, and nowhere else.

    The directory has weights and this configuration.

    Raises:
        ValueError: it is not an index, or names what a model directory may not hold; the message is one sentence.
    """
    if len(content) > MAX_INDEX_BYTES:
        raise ValueError(f"the index is larger than {MAX_INDEX_BYTES} bytes")
    try:
        directory = msgspec.json.decode(content, type=ModelDirectory)
    except msgspec.DecodeError as error:
        raise ValueError(f"it is not an index of files: {error}") from error
    _check(directory, configuration)
    return directory


def _check(directory: ModelDirectory, configuration: str) -> None:
    if len(directory.files) > MAX_FILES:
        raise ValueError(f"it has more than {MAX_FILES} files")
    for file in directory.files:
        _check_file(file)
    # Without regard to case, as the file system that it is laid out on may have none.
    paths = [file.path.lower() for file in directory.files]
    if len(set(paths)) != len(paths):
        raise ValueError("it names a file twice")
    folders = {path.rsplit("/", depth)[0] for path in paths for depth in range(1, path.count("/") + 1)}
    if folders & set(paths):
        raise ValueError("it uses a file's name as another file's folder")
    exact = {file.path for file in directory.files}
    if configuration not in exact or not any(path.endswith(WEIGHTS) for path in exact):
        raise ValueError(f"it has no {configuration} or no {WEIGHTS} file")


def _check_file(file: DirectoryFile) -> None:
    parts = file.path.split("/")
    if len(parts) > _MAX_PARTS or not all(_PART.fullmatch(part) for part in parts):
        raise ValueError(f"{file.path[:100]!r} is not a path inside the directory")
    if not file.path.lower().endswith(SUFFIXES):
        raise ValueError(f"{file.path!r} does not end in one of {', '.join(SUFFIXES)}, the files that a model may have")
    if not _DIGEST.fullmatch(file.digest) or file.size_bytes < 0:
        raise ValueError(f"{file.path!r} has no digest and size")
