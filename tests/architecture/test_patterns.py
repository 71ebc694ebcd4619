r"""A pattern that Python evaluates ends in `\Z`: its `$` also matches before a line break at the end of a text."""

import ast
import re
from collections.abc import Iterator, Mapping

import pytest

from tests.architecture.source_tree import ROOT, product_sources

EVALUATING = frozenset({"compile", "match", "search", "fullmatch", "finditer", "findall", "sub", "split"})
ESCAPED_OR_CLASS = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)


def test_no_pattern_takes_a_line_break_for_the_end() -> None:
    named = {name: text for source in product_sources() for name, text in _constants(source.tree)}
    found = {source.where: loose_ends(source.tree, named) for source in product_sources()}

    assert {where: lines for where, lines in found.items() if lines} == {}, r"write \Z for the end of a text"


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        (r're.compile(r"^[a-z]+$")', [1]),
        (r're.fullmatch(rb"(?:a$|b)", text)', [1]),
        (r'A = Annotated[str, msgspec.Meta(pattern="^a$")]', [1]),
        (r're.search(f"{kind}$", text)', [1]),
        ("re.match(WORD, text)", [1]),
        (r're.compile(r"^[a-z$]+\$\Z")', []),
        (r're.compile(r"^--$", re.MULTILINE)', []),
        (r'regex_pb2.RegexMatcher(regex="^(.*)$")', []),
    ],
)
def test_a_loose_end_is_found(source: str, lines: list[int]) -> None:
    assert loose_ends(ast.parse(source), {"WORD": "^a$"}) == lines


def test_what_others_read_ends_in_a_dollar_sign() -> None:
    texts = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "schemas/generated").rglob("*.json")}

    assert [name for name, text in texts.items() if r"\\Z" in text] == [], r"ECMA-262 has no \Z"
    assert "^[0-9a-f]{64}$" in texts["openapi.json"]


def loose_ends(tree: ast.Module, named: Mapping[str, str]) -> list[int]:
    """Return the lines of patterns with a `$`, which is the end of a line only where that is asked for."""
    return [
        call.lineno
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and "MULTILINE" not in ast.unparse(call)
        for pattern in _patterns(call)
        if "$" in ESCAPED_OR_CLASS.sub("", _text(pattern, named))
    ]


def _patterns(call: ast.Call) -> Iterator[ast.expr]:
    match call.func:
        case ast.Attribute(value=ast.Name(id="re"), attr=name) if name in EVALUATING:
            yield from call.args[:1]
        case ast.Attribute(attr="Meta") | ast.Name(id="Meta"):
            yield from (each.value for each in call.keywords if each.arg == "pattern")
        case _:
            pass


def _text(pattern: ast.expr, named: Mapping[str, str]) -> str:
    match pattern:
        case ast.Constant(value=str(text)):
            return text
        case ast.Constant(value=bytes(text)):
            return text.decode("latin-1")
        case ast.Name(id=name):
            return named.get(name, "")
        case ast.JoinedStr(values=parts):
            return "".join(_text(part, named) for part in parts)
        case _:
            return ""


def _constants(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str(text))):
                yield name, text
            case _:
                pass
