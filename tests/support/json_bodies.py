"""Bodies that almost fit a JSON Schema: what gets past the decoder is where faults hide."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from hypothesis import strategies as st

Schema: TypeAlias = Mapping[str, Any]
_MAX_DEPTH = 6

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
_NUMBERS = st.sampled_from([-1, 0, 1, 2, 3, 100, 2**31, 2**53, 2**63 - 1, -(2**63), 2**64, 10**30])
_FLOATS = st.sampled_from([-1.0, 0.0, 1e-300, 0.5, 1.0, 99.999, 100.0, 1e300])


def almost(schema: Schema, document: Schema, *, known: list[str]) -> st.SearchStrategy[Any]:
    """Draw a value that fits, or one with a wrong part; texts are often one of the `known` names and ids."""
    return _Bodies(document, known).of(schema, depth=0) | anything


class _Bodies:
    def __init__(self, document: Schema, known: list[str]) -> None:
        self._document = document
        self._texts = st.sampled_from(known) | st.text(max_size=30)

    def of(self, schema: Schema, *, depth: int) -> st.SearchStrategy[Any]:
        fitting = anything if depth > _MAX_DEPTH else self._fitting(schema, depth)
        # One part in twenty is something else altogether.
        return st.integers(0, 19).flatmap(lambda dice: anything if dice == 0 else fitting)

    def _fitting(self, schema: Schema, depth: int) -> st.SearchStrategy[Any]:
        if "$ref" in schema:
            return self.of(self._resolved(schema["$ref"]), depth=depth + 1)
        if "enum" in schema or "const" in schema:
            return st.sampled_from(schema.get("enum", [schema.get("const")]))
        if "anyOf" in schema or "oneOf" in schema:
            options = schema.get("anyOf") or schema.get("oneOf") or []
            return st.one_of([self.of(option, depth=depth + 1) for option in options])
        kinds = {
            "object": self._object,
            "array": self._array,
        }
        plain: dict[str, st.SearchStrategy[Any]] = {
            "string": self._texts,
            "integer": _NUMBERS | st.integers(),
            "number": _FLOATS | _NUMBERS,
            "boolean": st.booleans(),
            "null": st.none(),
        }
        kind = str(schema.get("type"))
        return kinds[kind](schema, depth) if kind in kinds else plain.get(kind, anything)

    def _object(self, schema: Schema, depth: int) -> st.SearchStrategy[Any]:
        members = schema.get("properties")
        if members is None:
            values = schema.get("additionalProperties", {})
            return st.dictionaries(self._texts, self.of(values, depth=depth + 1), max_size=4)
        drawn = {name: self.of(member, depth=depth + 1) for name, member in members.items()}
        required = {name: drawn.pop(name) for name in schema.get("required", [])}
        return st.fixed_dictionaries(required, optional=drawn)

    def _array(self, schema: Schema, depth: int) -> st.SearchStrategy[Any]:
        items = schema.get("items")
        return st.lists(self.of(items if isinstance(items, dict) else {}, depth=depth + 1), max_size=4)

    def _resolved(self, reference: str) -> Schema:
        found: Any = self._document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
        return found  # type: ignore[no-any-return]  # the document is JSON
