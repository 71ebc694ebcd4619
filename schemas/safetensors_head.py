"""Reads the head of a safetensors file: the names, types and shapes of its tensors, and none of their numbers."""

from typing import Any, BinaryIO

import msgspec

_LENGTH_BYTES = 8
_MAX_HEAD_BYTES = 100 * 1024**2
_METADATA = "__metadata__"
_MAX_NAME_LENGTH = 1_000


class TensorHead(msgspec.Struct, frozen=True):
    """What the head says of a tensor; `dtype` as safetensors writes it, such as F32."""

    dtype: str
    shape: tuple[int, ...]


def read_head(content: BinaryIO, *, path: str, size_bytes: int) -> dict[str, TensorHead]:
    """Return the tensors by their names.

    Raises:
        ValueError: it is not a safetensors file; the message is one sentence.
    """
    length = int.from_bytes(content.read(_LENGTH_BYTES), "little")
    if length > min(_MAX_HEAD_BYTES, size_bytes - _LENGTH_BYTES):
        raise ValueError(f"{path} is not a safetensors file: its header is longer than the file")
    try:
        entries = msgspec.json.decode(content.read(length), type=dict[str, Any])
        entries.pop(_METADATA, None)
        heads = msgspec.convert(entries, type=dict[str, TensorHead])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not a safetensors file: its header describes no tensors") from error
    if any(len(name) > _MAX_NAME_LENGTH for name in heads):
        raise ValueError(f"{path} has a tensor whose name is longer than {_MAX_NAME_LENGTH} characters")
    return heads
