"""The OpenAPI document, cut to what the SDK offers, and shaped for generators of code."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]

DOCUMENT = Path(__file__).parents[3] / "schemas" / "generated" / "openapi.json"

_REFERENCE = "#/components/schemas/"
_ANY_OBJECT: Schema = {"type": "object", "additionalProperties": {}}
# Bounds are the server's to check: its refusal names the field and the remedy, and a bound may widen.
_BOUNDS = frozenset(
    {
        *("exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum"),
        *("maxItems", "minItems", "maxLength", "minLength", "maxProperties", "pattern", "title"),
    }
)


class Document:
    """Operations by group, and the schemas that they need."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self._schemas: dict[str, Schema] = content["components"]["schemas"]
        self._parameters: dict[str, Schema] = content["components"]["parameters"]
        self.operations = [
            {**operation, "path": path, "method": method.upper()}
            for path, methods in content["paths"].items()
            for method, operation in methods.items()
            if "x-rollbook-sdk" in operation
        ]

    @classmethod
    def read(cls) -> "Document":
        """Read the document that the code of the server was generated into."""
        return cls(json.loads(DOCUMENT.read_text(encoding="utf-8")))

    def schema(self, reference: str) -> Schema:
        """Return what a reference points to."""
        return self._schemas[name_in(reference)]

    def parameters(self, operation: Schema) -> list[Schema]:
        """Return an operation's parameters, those by reference too."""
        return [self._parameters[name_in(each["$ref"])] if "$ref" in each else each for each in operation["parameters"]]

    def types(self) -> dict[str, Schema]:
        """Return the schemas that become types: all that is answered, and what the parts of a body are made of."""
        asked = self._reachable(self._parts_of_bodies())
        answered = self._reachable(self._answers())
        shaped = {name: _shaped(self._schemas[name]) for name in sorted(asked)}
        variants = {name for name, schema in self._schemas.items() if _is_variant(schema)}
        shaped |= {name: _tolerant(_shaped(self._schemas[name]), variants) for name in sorted(answered - asked)}
        for name in {name for schema in self._answers() for name in _of_commands(schema)}:
            shaped[name]["properties"]["position"] = {"type": "integer", "default": 0}
            shaped[name]["required"] = list(shaped[name]["properties"])
        return shaped | {union_name(each): _shaped(each) for part in self._parts_of_bodies() for each in _unions(part)}

    def _parts_of_bodies(self) -> Iterator[Schema]:
        for operation in self.operations:
            body = body_of(operation)
            if body is not None:
                yield from self.schema(body["$ref"])["properties"].values()

    def _answers(self) -> Iterator[Schema]:
        yield from (answer for operation in self.operations if (answer := answer_of(operation)) is not None)

    def _reachable(self, start: Iterable[Schema]) -> set[str]:
        found: set[str] = set()
        waiting = [name for schema in start for name in _names(schema)]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += _names(self._schemas[name])
        # An answer's own name for its position is a field of what is answered.
        return found - {"Position"}


def name_in(reference: str) -> str:
    """Return the name of what a reference points to."""
    return reference.rpartition("/")[2]


def body_of(operation: Schema) -> Schema | None:
    """Return the schema of an operation's body."""
    content = operation.get("requestBody", {}).get("content", {})
    schema: Schema | None = content.get("application/json", {}).get("schema")
    return schema


def answer_of(operation: Schema) -> Schema | None:
    """Return the schema of an operation's answer where all went well."""
    for status, answer in operation["responses"].items():
        if status.startswith("2"):
            schema: Schema | None = answer.get("content", {}).get("application/json", {}).get("schema")
            return schema
    return None


def is_upload(operation: Schema) -> bool:
    """Return whether an operation takes a file's bytes."""
    return "application/octet-stream" in operation.get("requestBody", {}).get("content", {})


def is_download(operation: Schema) -> bool:
    """Return whether an operation answers a file's bytes."""
    return "application/octet-stream" in operation["responses"].get("200", {}).get("content", {})


def is_page(schema: Schema) -> bool:
    """Return whether an answer is one page of a list."""
    return name_in(schema.get("$ref", "")).endswith("Page")


def _of_commands(answer: Schema) -> Iterator[str]:
    """Return the name of what a command answers, which has the position up to which its effects reach."""
    names = [name_in(part["$ref"]) for part in answer.get("allOf", [])]
    yield from (name for name in names if name != "Position")


def _names(schema: Any) -> list[str]:  # noqa: ANN401  any JSON
    if isinstance(schema, dict):
        here = [name_in(schema["$ref"])] if str(schema.get("$ref", "")).startswith(_REFERENCE) else []
        return here + [name for key, value in schema.items() if key != "mapping" for name in _names(value)]
    return [name for item in schema for name in _names(item)] if isinstance(schema, list) else []


def _shaped(schema: Any) -> Any:  # noqa: ANN401  any JSON
    """Leave out bounds, and give the one kind that a variant has as its default."""
    if isinstance(schema, list):
        return [_shaped(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    shaped = {key: _shaped(value) for key, value in schema.items() if key not in _BOUNDS}
    if "properties" in schema:
        shaped["properties"] = {name: _shaped(value) for name, value in schema["properties"].items()}
        # Everything is required: the generator then takes the default where there is one, and no marker for "unset".
        shaped["required"] = list(shaped["properties"])
        if _is_variant(schema):
            shaped["properties"]["kind"]["default"] = schema["properties"]["kind"]["enum"][0]
    return shaped


def _is_variant(schema: Schema) -> bool:
    return len(schema.get("properties", {}).get("kind", {}).get("enum", ())) == 1


def _tolerant(schema: Any, variants: set[str]) -> Any:  # noqa: ANN401  any JSON
    """Let an answer hold what a newer server may say: other words, and other variants."""
    if isinstance(schema, list):
        return [_tolerant(item, variants) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "discriminator" in schema or name_in(str(schema.get("$ref", ""))) in variants:
        return _ANY_OBJECT
    if "enum" in schema:
        return {"type": "string", **{key: value for key, value in schema.items() if key not in {"enum", "type"}}}
    return {key: _tolerant(value, variants) for key, value in schema.items()}


def _unions(schema: Any) -> Iterator[Schema]:  # noqa: ANN401  any JSON
    if isinstance(schema, dict):
        if "discriminator" in schema:
            yield schema
        for value in schema.values():
            yield from _unions(value)
    elif isinstance(schema, list):
        for item in schema:
            yield from _unions(item)


def union_name(schema: Schema) -> str:
    """Return the name of a union of variants: the words that the names of all end with."""
    names = [name_in(variant["$ref"]) for variant in schema["anyOf"]]
    length = 0
    while len({name[-length - 1 :] for name in names}) == 1:
        length += 1
    shared = names[0][-length:]
    return shared[next(index for index, letter in enumerate(shared) if letter.isupper()) :]
