"""The catalogue of event types: every stored type name, with its struct."""

import importlib
import pkgutil

import msgspec

from schemas import events
from schemas.upcasters import UPCASTERS, newest


def _declared() -> dict[str, type[msgspec.Struct]]:
    """Join what the modules of `schemas/events` declare as `EVENTS`, so that a feature's events are in one file."""
    found: dict[str, type[msgspec.Struct]] = {}
    for module in pkgutil.iter_modules(events.__path__):
        declared = importlib.import_module(f"{events.__name__}.{module.name}").EVENTS
        assert not found.keys() & declared.keys(), f"{module.name} gives a name a second time"
        found |= declared
    return dict(sorted(found.items()))


EVENT_TYPES = _declared()
"""Fixed names, `feature.Event.vN`: never the Python path, never given twice, forever."""

TYPE_NAMES: dict[type[msgspec.Struct], str] = {
    struct: name for name, struct in EVENT_TYPES.items() if struct not in UPCASTERS
}
"""What is written: the newest version of each event."""


class NotUnderstood(msgspec.Struct, frozen=True, kw_only=True):
    """Stands in the place of an event that only a newer release can read: an unknown type, or an unknown form of it.

    No reader has a case for it, so all of them pass over it as over an event that is none of their business.
    """

    type_name: str
    detail: str


def decode_data(type_name: str, data: msgspec.Raw) -> msgspec.Struct | None:
    """Read the data of an event in its newest version, or return None where the type is unknown.

    Raises:
        msgspec.ValidationError: the data does not fit its type.
    """
    struct = EVENT_TYPES.get(type_name)
    return None if struct is None else newest(msgspec.json.decode(data, type=struct))


def read_data(type_name: str, data: msgspec.Raw) -> msgspec.Struct:
    """Read the data of an event of the log, whatever release wrote it; never refuses.

    The store takes no event that its own release can't read, so data that does not fit its type here, such as a gate
    of an unknown kind, is a newer release's.
    """
    try:
        event = decode_data(type_name, data)
    except (msgspec.ValidationError, RecursionError) as error:
        return NotUnderstood(type_name=type_name, detail=str(error))
    return NotUnderstood(type_name=type_name, detail="the type is unknown here") if event is None else event
