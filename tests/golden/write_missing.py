"""Writes what the golden tests hold of things that are new, and never touches what was written before.

`python -m tests.golden.write_missing` gives each event type without samples a full and a minimal one, and each kind of
row without a form its form.
"""

import json
import sys
from typing import Any

import msgspec
from msgspec import inspect

from schemas.catalogue import EVENT_TYPES
from schemas.envelope import Envelope, encode, encode_data
from schemas.identifiers import EventId, Kind, StreamId
from tests.golden.row_forms import FORMS, forms_now, known_forms
from tests.golden.test_events import EVENTS, SHAPES

_AT = "2026-01-02T03:04:05.678Z"
_UUID = "019a0000-0000-7000-8000-000000000001"


def main() -> None:
    """Write the samples and the forms that are missing."""
    for name in EVENT_TYPES:
        for shape in SHAPES:
            path = EVENTS / f"{name}.{shape}.json"
            if not path.exists():
                path.write_bytes(_sample(name, is_full=shape == "full") + b"\n")
                sys.stdout.write(f"{path.name}\n")
    known = known_forms()
    if added := forms_now().keys() - known.keys():
        FORMS.parent.mkdir(exist_ok=True)
        FORMS.write_text(json.dumps({**forms_now(), **known}, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        sys.stdout.write(f"{FORMS.name}: {', '.join(sorted(added))}\n")


def _sample(name: str, *, is_full: bool) -> bytes:
    feature = name.partition(".")[0]
    kind = next((each for each in Kind if feature.startswith(each)), Kind.EVENT)
    value = _value(inspect.type_info(EVENT_TYPES[name]), "", is_full=is_full)
    event = msgspec.convert(value, EVENT_TYPES[name])
    envelope = Envelope(
        type=name,
        id=EventId(f"event-{_UUID}"),
        time=_AT,
        workspace="default",
        stream=StreamId(f"{kind}-{_UUID}"),
        streamversion=1,
        actor=f"principal-{_UUID}",
        correlationid="correlation-1",
        causationid=f"command-{_UUID}",
        commandid=f"command-{_UUID}",
        data=encode_data(event),
    )
    return encode(envelope)


def _value(kind: inspect.Type, field: str, *, is_full: bool) -> Any:  # noqa: ANN401  any JSON value
    """Return a value of a type: in a full sample nothing is empty, in a minimal one all that may be."""
    match kind:
        case inspect.StructType(fields=fields, tag_field=tag_field, tag=tag):
            tagged = {tag_field: tag} if tag_field else {}
            return tagged | {each.encode_name: _value(each.type, each.name, is_full=is_full) for each in fields}
        case inspect.UnionType(types=types):
            is_empty = any(isinstance(each, inspect.NoneType) for each in types) and not is_full
            return None if is_empty else _value(_first_of(types), field, is_full=is_full)
        case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
            return [_value(item, field, is_full=True)] if is_full else []
        case inspect.TupleType(item_types=items):
            return [_value(item, field, is_full=is_full) for item in items]
        case inspect.DictType(value_type=value):
            return {"key": _value(value, field, is_full=True)} if is_full else {}
        case _:
            return _plain_value(kind, field)


def _first_of(types: tuple[inspect.Type, ...]) -> inspect.Type:
    return next(each for each in types if not isinstance(each, inspect.NoneType))


def _plain_value(kind: inspect.Type, field: str) -> Any:  # noqa: ANN401  any JSON value
    match kind:
        case inspect.LiteralType(values=values):
            return values[0]
        case inspect.StrType():
            prefix = field.removesuffix("_id")
            return _AT if field.endswith("_at") else f"{prefix}-{_UUID}" if field.endswith("_id") else field
        case inspect.BoolType():
            return True
        case inspect.IntType():
            return 1
        case inspect.FloatType():
            return 1.0
        case _:
            raise TypeError(f"write the sample by hand: no value is known for {kind}")


if __name__ == "__main__":
    main()
