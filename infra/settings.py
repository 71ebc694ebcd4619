"""Loads one frozen settings struct per program from environment variables.

Field ``port`` of a program with prefix ``ROLLBOOK_API_`` is read from
``ROLLBOOK_API_PORT``. Who owns which prefix is the business of the callers.
"""

import difflib
from collections.abc import Mapping
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

import msgspec

from infra.addresses import GrantedNetworks, read_networks
from infra.errors import InvalidSettingsError

Settings = TypeVar("Settings", bound=msgspec.Struct)

_KINDS: dict[type, str] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    Path: "a path",
    IPv4Address: "an IPv4 address",
    GrantedNetworks: "a list of networks, separated by commas",
}


class SettingDescription(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the settings reference."""

    variable: str
    kind: str
    default: str | None
    purpose: str


def load_settings(struct: type[Settings], prefix: str, environ: Mapping[str, str]) -> Settings:
    """Read every field of ``struct`` from its variable, or refuse with all reasons at once.

        Raises InvalidSettingsError when a variable is missing, has a value that does
        not fit, or starts with ``prefix`` and belongs to no field. Lists are written
        with commas. An empty value is refused: it hides a forgotten one. A struct refuses fields
    that don't fit each other by a ValueError of its ``__post_init__``.
    """
    fields = {prefix + field.name.upper(): field for field in msgspec.structs.fields(struct)}
    hints = get_type_hints(struct, include_extras=True)
    problems = [
        _unknown(variable, list(fields))
        for variable in sorted(environ)
        if variable.startswith(prefix) and variable not in fields
    ]
    values: dict[str, Any] = {}
    for variable, field in fields.items():
        try:
            if variable in environ:
                values[field.name] = _value_of(environ[variable], hints[field.name])
            elif field.required:
                problems.append(f"{variable} is not set; {_remedy(hints[field.name])}")
        except ValueError as error:
            problems.append(f"{variable} {error}; {_remedy(hints[field.name])}")
    if problems:
        raise InvalidSettingsError("; ".join(problems))
    try:
        return struct(**values)
    except ValueError as error:
        # What its fields say together; the sentence begins with the variable of one, without the prefix.
        raise InvalidSettingsError(f"{prefix}{error}") from error


def describe_settings(struct: type[msgspec.Struct], prefix: str) -> list[SettingDescription]:
    """List the variables of a struct for the reference and its test."""
    hints = get_type_hints(struct, include_extras=True)
    return [
        SettingDescription(
            variable=prefix + field.name.upper(),
            kind=_kind(hints[field.name]),
            default=_default_of(field),
            purpose=_purpose(hints[field.name]),
        )
        for field in msgspec.structs.fields(struct)
    ]


def _value_of(text: str, hint: object) -> object:
    if not text.strip():
        raise ValueError("is empty")
    raw: object = [part.strip() for part in text.split(",")] if _is_list(hint) else text
    try:
        return msgspec.convert(raw, cast("Any", hint), strict=False, dec_hook=_decode)
    except msgspec.ValidationError as error:
        # The value itself stays out of the message: it may be a secret.
        raise ValueError(f"does not fit ({str(error).lower()})") from error


def _decode(kind: type, value: object) -> object:
    if issubclass(kind, Path):
        return Path(str(value))
    if issubclass(kind, IPv4Address):
        return IPv4Address(str(value))
    if issubclass(kind, GrantedNetworks):
        # Networks are no secrets, so their error may quote them.
        return read_networks(str(value))
    raise NotImplementedError(f"settings of type {kind} are not supported")


def _unknown(variable: str, known: list[str]) -> str:
    close = difflib.get_close_matches(variable, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
    return f"{variable} is not a setting; {hint}"


def _remedy(hint: object) -> str:
    purpose = _purpose(hint)
    return f"set it to {_kind(hint)}" + (f": {purpose}" if purpose else "")


def _purpose(hint: object) -> str:
    for extra in getattr(hint, "__metadata__", ()):
        if isinstance(extra, msgspec.Meta) and extra.description:
            return extra.description
    # An optional setting may be described inside: `Annotated[int, Meta(…)] | None`.
    inner = () if hasattr(hint, "__metadata__") or _is_list(hint) else get_args(hint)
    return next((found for found in map(_purpose, inner) if found), "")


def _kind(hint: object) -> str:
    plain = _plain(hint)
    if _is_list(plain):
        return "a list, separated by commas"
    if isinstance(plain, type) and plain in _KINDS:
        return _KINDS[plain]
    choices = [str(choice) for choice in get_args(plain) if choice is not type(None)]
    if len(choices) == 1:
        return _kind(next(kind for kind in get_args(plain) if kind is not type(None)))
    return "one of " + ", ".join(choices) if choices else str(plain)


def _is_list(hint: object) -> bool:
    return get_origin(_plain(hint)) in (tuple, list, frozenset, set)


def _plain(hint: object) -> object:
    return getattr(hint, "__origin__", hint) if hasattr(hint, "__metadata__") else hint


def _default_of(field: msgspec.structs.FieldInfo) -> str | None:
    if field.required:
        return None
    if field.default_factory is not msgspec.NODEFAULT:
        return str(field.default_factory())
    return str(field.default)
