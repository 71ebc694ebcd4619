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
    str: "a string",
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

    Raises InvalidSettingsError when a variable is missing, has a value that does not fit, or starts with ``prefix`` and
    belongs to no field. Lists are written with commas. An empty value is refused: it hides a forgotten one. A field
    that is a struct has a variable for each of its own fields, after its name; an optional one is there when one of
    them is set. A struct refuses fields that do not fit each other by a ValueError of its ``__post_init__``.
    """
    known = _variables(struct, prefix)
    problems = [
        _unknown(variable, known)
        for variable in sorted(environ)
        if variable.startswith(prefix) and variable not in known
    ]
    loaded = _filled(struct, prefix, environ, problems)
    if problems or loaded is None:
        raise InvalidSettingsError("; ".join(problems))
    return loaded


def describe_settings(struct: type[msgspec.Struct], prefix: str) -> list[SettingDescription]:
    """List the variables of a struct for the reference and its test."""
    hints = get_type_hints(struct, include_extras=True)
    described: list[SettingDescription] = []
    for field in msgspec.structs.fields(struct):
        variable, hint = prefix + field.name.upper(), hints[field.name]
        if embedded := _embedded(hint):
            inner = describe_settings(embedded, f"{variable}_")
            # Of an optional struct nothing is needed by itself.
            described += inner if field.required else [_not_needed(one) for one in inner]
        else:
            default, purpose = _default_of(field), _purpose(hint)
            described.append(SettingDescription(variable=variable, kind=_kind(hint), default=default, purpose=purpose))
    return described


def _not_needed(one: SettingDescription) -> SettingDescription:
    return msgspec.structs.replace(one, default="None") if one.default is None else one


def _variables(struct: type[msgspec.Struct], prefix: str) -> list[str]:
    return [one.variable for one in describe_settings(struct, prefix)]


def _filled(struct: type[Settings], prefix: str, environ: Mapping[str, str], problems: list[str]) -> Settings | None:
    """Build a struct from its variables, or note what is wrong with them."""
    hints = get_type_hints(struct, include_extras=True)
    values: dict[str, Any] = {}
    noted = len(problems)
    for field in msgspec.structs.fields(struct):
        variable, hint = prefix + field.name.upper(), hints[field.name]
        embedded = _embedded(hint)
        if embedded is not None:
            if field.required or not environ.keys().isdisjoint(_variables(embedded, f"{variable}_")):
                values[field.name] = _filled(embedded, f"{variable}_", environ, problems)
        elif variable in environ:
            try:
                values[field.name] = _value_of(environ[variable], hint)
            except ValueError as error:
                problems.append(f"{variable} {error}; {_remedy(hint)}")
        elif field.required:
            problems.append(f"{variable} is not set; {_remedy(hint)}")
    if len(problems) > noted:
        return None
    try:
        return struct(**values)
    except ValueError as error:
        # What its fields say together; the sentence begins with the variable of one, without the prefix.
        problems.append(f"{prefix}{error}")
        return None


def _embedded(hint: object) -> type[msgspec.Struct] | None:
    kinds = get_args(hint) if not isinstance(hint, type) else (hint,)
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, msgspec.Struct)), None)


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
        # Networks are not secrets, so their error may quote them.
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
