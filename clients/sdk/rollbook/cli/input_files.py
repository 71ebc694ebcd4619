"""Reads the files that commands take, strictly: mistakes are reported and nothing is guessed."""

import codecs
import json
from pathlib import Path
from typing import Any, NoReturn

import click

from rollbook.cli.options import finite

STANDARD_INPUT = Path("-")
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_text(path: Path, *, option: str) -> str:
    """Read a file, or standard input for `-`, as UTF-8, skipping a byte order mark.

    Raises:
        click.BadParameter: it cannot be read, or is in another encoding.
    """
    try:
        content = click.get_binary_stream("stdin").read() if path == STANDARD_INPUT else path.read_bytes()
    except OSError as error:
        raise click.BadParameter(f"{path} cannot be read: {error.strerror}", param_hint=option) from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        what = "in UTF-16" if content.startswith(_UTF_16) else f"not UTF-8 (byte {error.start})"
        raise click.BadParameter(f"{path} is {what}; save it as UTF-8", param_hint=option) from error


def read_json_object(path: Path, *, option: str) -> dict[str, Any]:
    """Read a file that holds one JSON object.

    Raises:
        click.BadParameter: it holds something else, a member twice, or a number that is not finite.
    """
    text = read_text(path, option=option)
    try:
        value = json.loads(text, object_pairs_hook=_each_once, parse_constant=_refuse, parse_float=finite)
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"{path} does not hold a JSON object: {error}", param_hint=option) from error
    if not isinstance(value, dict):
        raise click.BadParameter(f"{path} holds {_KINDS[type(value)]}, not a JSON object", param_hint=option)
    return value


_KINDS = {
    list: "a list",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def _each_once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in members:
        if name in found:
            message = f"the member {name!r} appears twice"
            raise ValueError(message)
        found[name] = value
    return found


def _refuse(constant: str) -> NoReturn:
    message = f"{constant} is not finite"
    raise ValueError(message)
