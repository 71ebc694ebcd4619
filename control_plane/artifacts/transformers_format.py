"""Looks over the directory of a model or an adapter: its index, every file, and the head of each file of weights."""

from typing import BinaryIO

import msgspec

from control_plane.artifacts.artifact_store import ArtifactStore
from control_plane.artifacts.errors import NotAModelError
from control_plane.artifacts.tokenizer_fit import TOKENIZER, check_tokenizer
from schemas.model_directory import (
    ADAPTER_CONFIGURATION,
    CONFIGURATION,
    MAX_INDEX_BYTES,
    WEIGHTS,
    DirectoryFile,
    read_index,
)
from schemas.safetensors_head import read_head

_MAX_CONFIGURATION_BYTES = 1024**2


def check_transformers(file: BinaryIO, store: ArtifactStore) -> None:
    """Refuse a file that is not an index, or whose files are not in the store or not what their names say.

    Raises:
        NotAModelError: with the reason.
    """
    try:
        parts = {part.path: part for part in read_index(file.read(MAX_INDEX_BYTES + 1)).files}
        for part in parts.values():
            _check_part(part, store)
        if TOKENIZER in parts:
            with store.open(parts[TOKENIZER].digest) as tokenizer, store.open(parts[CONFIGURATION].digest) as described:
                check_tokenizer(tokenizer, described)
    except ValueError as error:
        raise NotAModelError(artifact_format="transformers", reason=str(error)) from error


def check_lora(file: BinaryIO, store: ArtifactStore) -> None:
    """Refuse a file that is not an index of an adapter, as PEFT writes it.

    Raises:
        NotAModelError: with the reason.
    """
    try:
        for part in read_index(file.read(MAX_INDEX_BYTES + 1), configuration=ADAPTER_CONFIGURATION).files:
            _check_part(part, store)
    except ValueError as error:
        raise NotAModelError(artifact_format="lora", reason=str(error)) from error


def _check_part(part: DirectoryFile, store: ArtifactStore) -> None:
    found = store.find(part.digest)
    if found is None:
        raise ValueError(f"the store does not hold {part.path} ({part.digest}); upload every file before the index")
    if found.size_bytes != part.size_bytes:
        raise ValueError(f"{part.path} has {found.size_bytes} bytes, not {part.size_bytes}")
    with store.open(part.digest) as content:
        if part.path.endswith(WEIGHTS):
            read_head(content, path=part.path, size_bytes=part.size_bytes)
        elif part.path == CONFIGURATION:
            _check_configuration(content)
        elif part.path == ADAPTER_CONFIGURATION:
            _check_adapter(content)


def _check_configuration(content: BinaryIO) -> None:
    configuration = _object(content.read(_MAX_CONFIGURATION_BYTES), CONFIGURATION)
    if not configuration.get("architectures"):
        raise ValueError(f"{CONFIGURATION} names no architecture")
    if "auto_map" in configuration:
        raise ValueError(f"{CONFIGURATION} asks for custom code (auto_map), which is never run")


def _check_adapter(content: BinaryIO) -> None:
    configuration = _object(content.read(_MAX_CONFIGURATION_BYTES), ADAPTER_CONFIGURATION)
    if configuration.get("peft_type") != "LORA":
        raise ValueError(f"{ADAPTER_CONFIGURATION} does not describe an adapter of the type LORA")
    rank = configuration.get("r")
    if not isinstance(rank, int) or isinstance(rank, bool) or rank < 1:
        raise ValueError(f"{ADAPTER_CONFIGURATION} has no rank (r)")


def _object(content: bytes, path: str) -> dict[str, object]:
    try:
        return msgspec.json.decode(content, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not a JSON object") from error
