"""What a program does with that which a newer release than its own wrote: passes it over, and says so."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TypeAlias, TypeVar

import msgspec
import structlog

from schemas.catalogue import NotUnderstood
from schemas.documents.records import StateRecord

Item = TypeVar("Item")
OnNewer: TypeAlias = Callable[[NotUnderstood], None]

_log = structlog.get_logger(__name__)


class NewerEvents:
    """Says once for each type that its events are passed over, as there may be thousands of them."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def tell(self, event: NotUnderstood) -> None:
        """Hear of one."""
        if event.type_name not in self._told:
            self._told.add(event.type_name)
            _log.warning("newer_event_passed_over", type=event.type_name, detail=event.detail)


def items_understood(items: Iterable[object], kind: type[Item]) -> tuple[Item, ...]:
    """Return the items of a decoded list; those that only a newer release can read are left out."""
    return tuple(item for each in items if (item := _understood(each, kind)) is not None)


def document_understood(record: StateRecord, kind: type[Item]) -> Item | None:
    """Return a document as far as it is read here, or None where only a newer release can read it."""
    try:
        return msgspec.json.decode(record.document, type=kind)
    except msgspec.ValidationError as error:
        _say_once(record.kind, record.id, str(error))
        return None


def _understood(item: object, kind: type[Item]) -> Item | None:
    try:
        return msgspec.convert(item, kind)
    except msgspec.ValidationError as error:
        identifier = item.get("id", "") if isinstance(item, dict) else ""
        _say_once(kind.__name__, str(identifier), str(error))
        return None


@lru_cache(maxsize=1_024)
def _say_once(kind: str, identifier: str, detail: str) -> None:
    """Say what is left out, and not again each time that the same list is read."""
    _log.warning("newer_item_left_out", kind=kind, id=identifier, detail=detail)
