"""What a program does with a document that a newer release wrote: it leaves it out, and says so."""

from functools import lru_cache
from typing import TypeVar

import msgspec
import structlog

from schemas.documents.records import StateRecord

Item = TypeVar("Item")

_log = structlog.get_logger(__name__)


def document_understood(record: StateRecord, kind: type[Item]) -> Item | None:
    """Return a document as far as it is read here, or None where only a newer release can read it."""
    return part_understood(record.document, kind, of=record)


def part_understood(part: msgspec.Raw, kind: type[Item], *, of: StateRecord) -> Item | None:
    """Return a part of a document, or None where only a newer release can read it."""
    try:
        return msgspec.json.decode(part, type=kind)
    except (msgspec.ValidationError, RecursionError) as error:
        _say_once(of.kind, of.id, str(error))
        return None


@lru_cache(maxsize=1_024)
def _say_once(kind: str, identifier: str, detail: str) -> None:
    """Say what is left out, and not again each time that it is read."""
    _log.warning("newer_document_left_out", kind=kind, id=identifier, detail=detail)
