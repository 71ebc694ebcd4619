"""Finds a member that a JSON object has twice: decoders keep the last one and say nothing."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec

_QUOTE, _BACKSLASH = b'"', b"\\"


class _RepeatedError(Exception):
    pass


class _Members(list[tuple[str, Any]]):
    """The members of one object as they were written."""


def repeated_member(content: bytes) -> str | None:
    """Return the JSON path of a member that its object has twice, or None; `content` is known to be JSON.

    Objects inside of objects and lists are looked into. Names that differ only in how they are escaped are the same.
    """
    if _keeps_all_its_quotes(content):
        return None
    text = content.decode()
    try:
        json.loads(text, object_pairs_hook=_require_each_once, parse_int=float)
    except _RepeatedError:
        return next(_paths(json.loads(text, object_pairs_hook=_Members, parse_int=float), ""))
    return None


def _keeps_all_its_quotes(content: bytes) -> bool:
    """Tell quickly, for most bodies, that nothing is lost when they are decoded.

    Without a backslash each name and each text has exactly two quotes, before and after. A member that the decoder
    drops takes its own along. That is two to three times as fast as to look at each object.
    """
    if _BACKSLASH in content:
        return False
    return content.count(_QUOTE) == msgspec.json.encode(msgspec.json.decode(content)).count(_QUOTE)


def _require_each_once(members: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in members}) != len(members):
        raise _RepeatedError


def _paths(value: Any, path: str) -> Iterator[str]:  # noqa: ANN401  any JSON
    if isinstance(value, _Members):
        seen = set()
        for name, member in value:
            inner = f"{path}.{name}" if path else name
            if name in seen:
                yield inner
            seen.add(name)
            yield from _paths(member, inner)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _paths(item, f"{path}[{index}]")
