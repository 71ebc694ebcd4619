"""Refuses what HTTP and JSON can't carry, before anything is sent, and says what it is."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from rollbook.errors import RollbookError

_UNSENDABLE_IN_A_TOKEN = re.compile(r"[^!-~]")


def token(value: str) -> str:
    """Return a bearer token.

    Raises:
        RollbookError: a header can't carry it.
    """
    found = _UNSENDABLE_IN_A_TOKEN.search(value)
    if found is None:
        return value
    what = "white space" if found[0].isspace() else repr(found[0])
    raise RollbookError(f"the token has {what} at character {found.start() + 1}; give the whole token and nothing else")


def workspace(value: str) -> str:
    """Return the name of a workspace.

    Raises:
        RollbookError: a header can't carry it.
    """
    if not value or _UNSENDABLE_IN_A_TOKEN.search(value):
        raise RollbookError(f"{value!r} is not the name of a workspace; write lower-case letters, digits and hyphens")
    return value


def url(value: str) -> str:
    """Return the address of a server.

    Raises:
        RollbookError: nothing can be sent there.
    """
    try:
        parsed = httpx.URL(value)
    except (httpx.InvalidURL, UnicodeError) as error:
        raise RollbookError(f"{value!r} is not an address ({error}); write http://HOST:PORT") from error
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise RollbookError(f"{value!r} is not an address; write http://HOST:PORT")
    return value


def json_body(values: Mapping[str, Any]) -> bytes:
    """Return a body as JSON.

    Raises:
        RollbookError: a member is no JSON; the sentence names it.
    """
    try:
        return json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise RollbookError(next(_faults(values, ""), f"the values are no JSON: {error}")) from error


def query(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a question.

    Raises:
        RollbookError: one of them can't be written.
    """
    for fault in _faults(values, ""):
        raise RollbookError(fault)
    return dict(values)


def _faults(value: Any, path: str, *, depth: int = 0) -> Iterator[str]:  # noqa: ANN401  any value
    if isinstance(value, float):
        if not math.isfinite(value):
            yield f"{path} is {value}, which JSON does not have; give a finite number, or text where that is allowed"
    elif isinstance(value, str):
        if not _is_unicode(value):
            yield f"{path} has bytes that are not UTF-8: {value!r}"
    elif isinstance(value, Mapping | list | tuple):
        # A list that holds itself has no end.
        if depth < 50:  # noqa: PLR2004
            for inner, item in _members(value, path):
                yield from _faults(item, inner, depth=depth + 1)
    elif value is not None and not isinstance(value, int):
        yield f"{path} is a {type(value).__name__}, which JSON does not have"


def _members(value: Mapping[Any, Any] | list[Any] | tuple[Any, ...], path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            inner = f"{path}.{name}" if path else str(name)
            yield f"the name {name!r}" if not path else f"a name in {path}", name
            yield inner, item
    else:
        yield from ((f"{path}[{index}]", item) for index, item in enumerate(value))


def _is_unicode(text: str) -> bool:
    # What a command line holds beside UTF-8 arrives as surrogates.
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
