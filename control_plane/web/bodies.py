"""Strict reading of JSON bodies: each error names the field by its JSON path, and the remedy."""

import codecs
import re
from typing import TypeVar

import msgspec

from control_plane.errors import Invalid
from infra.repeated_members import repeated_member
from infra.unknown_members import unknown_member

Body = TypeVar("Body", bound=msgspec.Struct)

_PATH = re.compile(r"(?P<what>.*) - at `\$(?P<path>.*)`", re.DOTALL)
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_MEMBER = re.compile(r"Object (?P<fault>contains unknown|missing required) field `(?P<name>[^`]*)`")


class MalformedJsonError(Invalid):
    """The body is not valid JSON."""

    code = "malformed-json"


class InvalidBodyError(Invalid):
    """A member of the body is unknown, missing, duplicated, or of the wrong type or size."""

    code = "invalid-body"


def decode_body(body: bytes, struct: type[Body]) -> Body:
    """Read a JSON body. It is closed: a member that the struct does not know is refused, however deep it stands.

    Raises:
        MalformedJsonError: it is not JSON.
        InvalidBodyError: it does not fit; the field is the JSON path.
    """
    # Editors and shells of Windows put a byte order mark before UTF-8; RFC 8259 lets a reader skip it.
    content = body.removeprefix(codecs.BOM_UTF8)
    try:
        decoded = msgspec.json.decode(content, type=struct)
        unknown, repeated = unknown_member(content, struct), repeated_member(content)
    except msgspec.ValidationError as error:
        raise explained(error, as_kind=InvalidBodyError) from error
    except RecursionError as error:
        raise InvalidBodyError("the body is nested too deeply", remedy="send the type that /openapi shows") from error
    except (msgspec.DecodeError, ValueError) as error:
        if content.startswith(_UTF_16):
            raise MalformedJsonError("the body is in UTF-16", remedy="send it in UTF-8") from error
        raise MalformedJsonError(f"the body is not valid JSON: {error}", remedy="send a JSON object") from error
    if unknown is not None:
        raise _not_known(unknown, as_kind=InvalidBodyError)
    if repeated is not None:
        raise InvalidBodyError(f"{repeated or 'a name'} appears twice", field=repeated or None, remedy="send it once")
    return decoded


def explained(error: msgspec.ValidationError, *, as_kind: type[Invalid]) -> Invalid:
    """Say what is wrong, and where, from the library's own words and the JSON path that they are about."""
    placed = _PATH.fullmatch(str(error))
    what, path = (placed["what"], placed["path"].lstrip(".")) if placed else (str(error), "")
    member = _MEMBER.fullmatch(what)
    if member is None:
        return as_kind(sentence(what), field=path or None, remedy="send the type that /openapi shows")
    name = member["name"]
    field = f"{path}.{name}" if path else name
    if member["fault"] == "missing required":
        return as_kind(f"{field} is missing", field=field, remedy=f"add {name}")
    return _not_known(field, as_kind=as_kind)


def _not_known(field: str, *, as_kind: type[Invalid]) -> Invalid:
    name = field.rpartition(".")[2]
    return as_kind(f"{field} is not a known field", field=field, remedy=f"remove {name}, or check its spelling")


def sentence(what: str) -> str:
    """Begin the library's words small, as the details of problems do."""
    return what[:1].lower() + what[1:]
