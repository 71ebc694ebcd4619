"""Finds a member of a JSON document that its type does not know: readers of events ignore it, callers get an error."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect


def unknown_member(content: bytes, struct: type[msgspec.Struct]) -> str | None:
    """Return the JSON path of a member that `struct` does not know, or None; `content` fits it otherwise.

    Structs inside of structs, lists, mappings and unions are looked into.
    """
    known = _type_of(struct)
    if _is_closed(struct):
        return None
    return _unknown(msgspec.json.decode(content), known, "")


@cache
def _type_of(struct: type[msgspec.Struct]) -> inspect.Type:
    return inspect.type_info(struct)


@cache
def _is_closed(struct: type[msgspec.Struct]) -> bool:
    """Return whether the decoder refuses unknown members everywhere by itself."""
    return all(each.cls.__struct_config__.forbid_unknown_fields for each in _structs_in(_type_of(struct), set()))


def _structs_in(kind: inspect.Type, seen: set[type]) -> list[inspect.StructType]:
    match kind:
        case inspect.StructType(cls=cls, fields=fields):
            if cls in seen:
                return []
            seen.add(cls)
            return [kind, *(each for field in fields for each in _structs_in(field.type, seen))]
        case _:
            return [each for inner in _inner_types(kind) for each in _structs_in(inner, seen)]


def _inner_types(kind: inspect.Type) -> tuple[inspect.Type, ...]:
    match kind:
        case inspect.Metadata(type=inner):
            return (inner,)
        case inspect.UnionType(types=types):
            return types
        case inspect.TupleType(item_types=types):
            return types
        case inspect.DictType(value_type=value):
            return (value,)
        case inspect.CollectionType(item_type=item):
            return (item,)
        case _:
            return ()


def _unknown(value: Any, kind: inspect.Type, path: str) -> str | None:  # noqa: ANN401  any JSON
    if isinstance(kind, inspect.StructType) and isinstance(value, dict):
        known = {kind.tag_field, *(field.encode_name for field in kind.fields)}
        for name in value.keys() - known:
            return _at(path, name)
    return next((found for inner in _inner(value, kind, path) if (found := _unknown(*inner))), None)


def _inner(value: Any, kind: inspect.Type, path: str) -> Iterator[tuple[Any, inspect.Type, str]]:  # noqa: ANN401
    """Yield the values inside of a value, with their types and paths."""
    match kind:
        case inspect.Metadata(type=inner):
            yield value, inner, path
        case inspect.UnionType(types=types):
            structs = [each for each in types if isinstance(each, inspect.StructType)]
            yield from ((value, each, path) for each in types if len(structs) == 1 or _fits(value, each))
        case inspect.StructType(fields=fields) if isinstance(value, dict):
            there = (field for field in fields if field.encode_name in value)
            yield from ((value[field.encode_name], field.type, _at(path, field.encode_name)) for field in there)
        case inspect.DictType(value_type=inner) if isinstance(value, dict):
            yield from ((member, inner, _at(path, name)) for name, member in value.items())
        case inspect.TupleType(item_types=types) if isinstance(value, list):
            pairs = enumerate(zip(value, types, strict=False))
            yield from ((item, each, f"{path}[{index}]") for index, (item, each) in pairs)
        case inspect.CollectionType(item_type=inner) if isinstance(value, list):
            yield from ((item, inner, f"{path}[{index}]") for index, item in enumerate(value))


def _at(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _fits(value: Any, kind: inspect.Type) -> bool:  # noqa: ANN401  any JSON
    """Return whether a value that fits a union is of this member of it; structs of a union differ by their tags."""
    if isinstance(kind, inspect.StructType) and kind.tag_field is not None:
        return isinstance(value, dict) and value.get(kind.tag_field) == kind.tag
    return True
