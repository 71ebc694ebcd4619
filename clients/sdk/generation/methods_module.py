"""`rollbook._async.operations`: a method for each operation, with the members of its body as parameters."""

import textwrap
from collections import defaultdict
from collections.abc import Iterator
from functools import reduce
from typing import NamedTuple

from generation.document import (
    Document,
    Schema,
    answer_of,
    body_of,
    is_download,
    is_page,
    is_upload,
    name_in,
    union_name,
)

_HEADER = '''"""A method for each operation of the API.

Generated from schemas/generated/openapi.json by clients/sdk/generate.py.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from rollbook import _wire
from rollbook import resources as types
from rollbook._async.connection import AsyncConnection
from rollbook._wire import Object
'''
_WIDTH = 112
_SENT = "content: Path | bytes"
_KEPT = "to: Path"
_PAGING = frozenset({"cursor", "limit"})
_SIMPLE = {"boolean": "bool", "integer": "int", "number": "float", "string": "str"}


class Parameter(NamedTuple):
    """A parameter of a method; an optional one is left out of the call where it is None."""

    name: str
    sent_as: str
    annotation: str
    is_required: bool

    @property
    def declared(self) -> str:
        """The parameter in the method's signature."""
        if self.is_required:
            return f"{self.name}: {self.annotation}"
        optional = self.annotation if self.annotation.endswith("| None") else f"{self.annotation} | None"
        return f"{self.name}: {optional} = None"


def methods_source(document: Document) -> str:
    """Return the module's source, not yet formatted."""
    groups: dict[str, list[Schema]] = defaultdict(list)
    for operation in document.operations:
        groups[operation["x-rollbook-sdk"].partition(".")[0]].append(operation)
    common = _common_codes(document)
    classes = [_class_source(group, operations, document, common) for group, operations in sorted(groups.items())]
    return _HEADER + "".join(classes) + _all_groups_source(sorted(groups))


def _all_groups_source(groups: list[str]) -> str:
    attributes = "".join(f"        self.{group} = {_class_name(group)}(connection)\n" for group in groups)
    return f'''

class AsyncOperations:
    """Every operation, by its group."""

    def __init__(self, connection: AsyncConnection) -> None:
        """Talk through the client's connection."""
{attributes}'''


def _class_name(group: str) -> str:
    return f"Async{group.title().replace('_', '')}"


def _class_source(group: str, operations: list[Schema], document: Document, common: set[str]) -> str:
    # A method called list comes last: below it, the name is no longer that of the type.
    in_order = sorted(operations, key=lambda operation: operation["x-rollbook-sdk"].endswith(".list"))
    methods = "".join(_method_source(operation, document, common) for operation in in_order)
    return f'''

class {_class_name(group)}:
    """The operations `{group}`."""

    def __init__(self, connection: AsyncConnection) -> None:
        """Talk through the client's connection."""
        self._connection = connection
{methods}'''


def _method_source(operation: Schema, document: Document, common: set[str]) -> str:
    in_path, in_body, in_query = (
        _in_path(operation, document),
        _in_body(operation, document),
        _in_query(operation, document),
    )
    answer = answer_of(operation) or {}
    is_list = is_page(answer)
    given = [*in_path, *in_body, *in_query]
    positional = [each.declared for each in given if each.is_required]
    positional += [
        declared for declared, moves in ((_SENT, is_upload(operation)), (_KEPT, is_download(operation))) if moves
    ]
    named = [each.declared for each in given if not each.is_required]
    named += ["limit: int | None = None"] if is_list else _of_commands(operation, document)
    returns = "None" if is_download(operation) else _annotation(answer)
    if is_list:
        returns = f"list[{_annotation(document.schema(answer['$ref'])['properties']['items']['items'])}]"
    path = f'_wire.path("{operation["path"]}"{"".join(f", {each.name}={each.name}" for each in in_path)})'
    call = _call(operation, document, path, in_body=in_body, in_query=in_query, answer=answer)
    signature = ", ".join(["self", *positional, *(["*", *named] if named else [])])
    return f'''
    async def {operation["x-rollbook-sdk"].partition(".")[2]}({signature}) -> {returns}:
        """{_docstring(operation, document, common)}"""
        return await self._connection.{call}
'''


def _call(
    operation: Schema,
    document: Document,
    path: str,
    *,
    in_body: list[Parameter],
    in_query: list[Parameter],
    answer: Schema,
) -> str:
    if is_upload(operation):
        return f"upload({path}, content, {_annotation(answer)})"
    if is_download(operation):
        return f"download({path}, to)"
    if body_of(operation) is not None:
        required = ", ".join(f'"{each.sent_as}": {each.name}' for each in in_body if each.is_required)
        optional = "".join(f", {each.sent_as}={each.name}" for each in in_body if not each.is_required)
        headers = "".join(f", {name}={name}" for name in _names_of_headers(operation, document))
        body = f"_wire.body({{{required}}}{optional})"
        return f'command("{operation["method"]}", {path}, {body}, {_annotation(answer)}{headers})'
    query = "".join(f", {each.sent_as}={each.name}" for each in in_query)
    if is_page(answer):
        return f"list_all({path}, {_annotation(answer)}, limit=limit{query})"
    return f"get({path}, {_annotation(answer)}{query})"


def _in_path(operation: Schema, document: Document) -> list[Parameter]:
    return [
        Parameter(each["name"], each["name"], _annotation(each["schema"]), is_required=True)
        for each in document.parameters(operation)
        if each["in"] == "path"
    ]


def _in_query(operation: Schema, document: Document) -> list[Parameter]:
    is_list = is_page(answer_of(operation) or {})
    return [
        Parameter(_plain(each["name"]), each["name"], _annotation(each["schema"]), is_required=each["required"])
        for each in document.parameters(operation)
        if each["in"] == "query" and not (is_list and each["name"] in _PAGING)
    ]


def _in_body(operation: Schema, document: Document) -> list[Parameter]:
    body = body_of(operation)
    if body is None:
        return []
    schema = document.schema(body["$ref"])
    required = set(schema.get("required", ()))
    return [
        Parameter(name, name, _annotation(each, is_asked=True), is_required=name in required)
        for name, each in schema["properties"].items()
    ]


def _of_commands(operation: Schema, document: Document) -> list[str]:
    kinds = {"idempotency_key": "str", "if_match": "int"}
    return [f"{name}: {kinds[name]} | None = None" for name in _names_of_headers(operation, document)]


def _names_of_headers(operation: Schema, document: Document) -> list[str]:
    wanted = {"Idempotency-Key": "idempotency_key", "If-Match": "if_match"}
    return [wanted[each["name"]] for each in document.parameters(operation) if each["name"] in wanted]


def _plain(name: str) -> str:
    """Return a name that shadows nothing of Python."""
    return f"{name}_" if name == "type" else name


def _annotation(schema: Schema, *, is_asked: bool = False) -> str:
    """Return the type of a value; what is asked may be given as plain JSON, too."""
    if "allOf" in schema:
        return _annotation(next(part for part in schema["allOf"] if name_in(part["$ref"]) != "Position"))
    if "$ref" in schema:
        name = f"types.{name_in(schema['$ref'])}"
        return f"{name} | Object" if is_asked else name
    if "anyOf" in schema:
        if "discriminator" in schema:
            return f"types.{union_name(schema)} | Object"
        parts = [_annotation(part, is_asked=is_asked) for part in schema["anyOf"]]
        return " | ".join(sorted(dict.fromkeys(parts), key=lambda part: part == "None"))
    if "enum" in schema:
        return f"Literal[{', '.join(repr(value) for value in schema['enum'])}]"
    return _annotation_of_plain(schema, is_asked=is_asked)


def _annotation_of_plain(schema: Schema, *, is_asked: bool) -> str:
    match schema.get("type"):
        case "null":
            return "None"
        case "array":
            item = _annotation(schema["items"], is_asked=is_asked)
            return f"Sequence[{item}]" if is_asked else f"list[{item}]"
        case "object":
            return f"Mapping[str, {_annotation(schema['additionalProperties'])}]" if is_asked else "dict[str, Any]"
        case kind:
            return _SIMPLE.get(str(kind), "Any")


def _docstring(operation: Schema, document: Document, common: set[str]) -> str:
    summary = operation["summary"].rstrip(".")
    body = body_of(operation)
    more = document.schema(body["$ref"]).get("description", "") if body is not None else ""
    paragraphs = [f"{summary}."]
    if more and more.rstrip(".") != summary:
        paragraphs.append(more)
    codes = sorted(_codes(operation, document) - common)
    if codes:
        paragraphs.append(f"Refused with {', '.join(f'`{code}`' for code in codes)}.")
    if len(paragraphs) == 1:
        return paragraphs[0]
    wrapped = [_filled(each) for text in paragraphs for each in text.split("\n\n")]
    return textwrap.indent("\n\n".join(wrapped) + "\n", " " * 8).strip(" ") + " " * 8


def _filled(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), _WIDTH, break_on_hyphens=False, break_long_words=False)


def _codes(operation: Schema, document: Document) -> set[str]:
    answers = [answer for status, answer in operation["responses"].items() if status[0] in "45"]
    return {code for answer in answers for code in _codes_in(answer, document)}


def _codes_in(answer: Schema, document: Document) -> Iterator[str]:
    if "$ref" in answer:
        yield from _codes_of(name_in(answer["$ref"]), document)
        return
    # An operation may answer an error status by other than a problem, as a probe of health does.
    schema = answer["content"].get("application/problem+json", {}).get("schema", {"oneOf": []})
    for part in schema.get("oneOf", [schema]):
        yield from _codes_of(name_in(part["$ref"]), document)


def _codes_of(problem: str, document: Document) -> Iterator[str]:
    yield document.schema(problem)["allOf"][1]["properties"]["code"]["const"]


def _common_codes(document: Document) -> set[str]:
    """Return the codes that every command, or every question, may answer."""
    by_kind: dict[bool, list[set[str]]] = defaultdict(list)
    for operation in document.operations:
        if operation["x-rollbook-roles"]:
            is_command = "idempotency_key" in _names_of_headers(operation, document)
            by_kind[is_command].append(_codes(operation, document))
    return {code for sets in by_kind.values() for code in reduce(set.__and__, sets)} | {"invalid-request"}
