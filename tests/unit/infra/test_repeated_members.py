"""Members that are there twice are found, by the quick look and by the thorough one."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.repeated_members import repeated_member

_TEXTS = st.text(st.characters(codec="utf-8"), max_size=6)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("content", "path"),
    [
        ('{"a": 1, "a": 1}', "a"),
        ('{"a": {"b": [0, {"c": 1, "d": "x", "c": 2}]}}', "a.b[1].c"),
        (r'{"a": 1, "\u0061": 2}', "a"),
        (r'{"a": "\\", "b": {"a": "\"", "a": 2}}', "b.a"),
        ('[{"a": 1}, {"a": 1, "a": {"a": 2}}]', "[1].a"),
        ('{"": 1, "": 2}', ""),
        ('{"ä": 1, "ä": 2}', "ä"),
    ],
)
def test_a_member_that_is_there_twice_is_found(content: str, path: str) -> None:
    assert repeated_member(content.encode()) == path


@pytest.mark.parametrize(
    "content",
    [
        '{"a": {"a": [{"a": 1}, {"a": 2}]}}',
        '"a \\" : b"',
        '{"a": 1e308, "A": 123456789012345678901234567890}',
        '{"a":"{\\"a\\": 1, \\"a\\": 2}"}',
        f'{{"a": {"9" * 5000}, "b\\n": 1}}',
        "[]",
    ],
)
def test_names_in_different_objects_are_no_repetition(content: str) -> None:
    assert repeated_member(content.encode()) is None


@given(value=_VALUES, is_ascii=st.booleans(), indent=st.none() | st.integers(0, 3))
def test_what_a_dictionary_holds_has_no_repetition(value: Any, *, is_ascii: bool, indent: int | None) -> None:  # noqa: ANN401
    assert repeated_member(json.dumps(value, ensure_ascii=is_ascii, indent=indent).encode()) is None


@given(inner=st.dictionaries(_TEXTS, _VALUES, min_size=1, max_size=4), is_ascii=st.booleans())
def test_a_repetition_is_found_wherever_it_is(inner: dict[str, Any], *, is_ascii: bool) -> None:
    name, value = next(iter(inner.items()))
    written = json.dumps(inner, ensure_ascii=is_ascii)
    again = f"{written[:-1]}, {json.dumps(name, ensure_ascii=is_ascii)}: {json.dumps(value)}}}"

    assert repeated_member(f'[{{"outer": {again}}}]'.encode()) == f"[0].outer.{name}"
