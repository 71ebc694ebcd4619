"""No test decides by the clock: it waits for a condition, with a deadline that only guards."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
# The clock is tested by the clock.
FILES = sorted(set(TESTS.rglob("*.py")) - {TESTS / "unit/infra/test_clock.py"})
CLOCKS = frozenset({"monotonic", "perf_counter", "monotonic_ns", "perf_counter_ns"})
# In virtual time a sleep takes none.
WITHOUT_TIME = frozenset({"in_virtual_time"})
ASKING = frozenset({"get", "post", "put", "patch", "delete", "head", "request", "stream", "Client", "AsyncClient"})


def by_the_clock(source: str) -> list[int]:
    """Return the lines that sleep for a time outside a loop without saying why, or assert how long something took."""
    lines = source.splitlines()
    sleeps = (call.lineno for call in _outside_loops(ast.parse(source)) if isinstance(call, ast.Call) and _sleeps(call))
    timed = (
        one.lineno
        for one in _outside_loops(ast.parse(source))
        if isinstance(one, ast.Assert) and _reads_clock(one.test)
    )
    return sorted({*(line for line in sleeps if "  # " not in lines[line - 1]), *timed})


def in_a_hurry(source: str) -> list[int]:
    """Return the lines that leave the time-out of a request to httpx, whose five seconds a busy machine may take."""
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return sorted(call.lineno for call in calls if _asks(call) and not _says_how_long(call))


def test_a_request_may_take_its_time() -> None:
    found = {path.relative_to(TESTS).as_posix(): in_a_hurry(path.read_text(encoding="utf-8")) for path in FILES}

    assert {path: lines for path, lines in found.items() if lines} == {}, "name a time-out that only guards"


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("httpx.get(url)", [1]),
        ("with httpx.Client(base_url=url) as client:\n    client.get('/')", [1]),
        ("httpx.get(url, timeout=60)", []),
        ("httpx.AsyncClient(transport=httpx.MockTransport(answer))", []),
        ("client.get(url)", []),
    ],
)
def test_a_request_in_a_hurry_is_found(source: str, lines: list[int]) -> None:
    assert in_a_hurry(source) == lines


def test_a_test_waits_for_a_condition() -> None:
    found = {path.relative_to(TESTS).as_posix(): by_the_clock(path.read_text(encoding="utf-8")) for path in FILES}

    said = {path: lines for path, lines in found.items() if lines}
    assert said == {}, "wait with tests.support.eventually, or say why not"


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("time.sleep(1)", [1]),
        ("async def test():\n    await asyncio.sleep(0.1)", [2]),
        ("assert time.monotonic() - began < 2", [1]),
        ("time.sleep(9)  # what is tested is that time passes", []),
        ("await asyncio.sleep(0)", []),
        ("while not done():\n    time.sleep(0.1)\n    assert time.monotonic() < deadline", []),
        ("while True:\n    def test():\n        time.sleep(1)", [3]),
        ("@in_virtual_time\nasync def test():\n    await asyncio.sleep(5)", []),
    ],
)
def test_what_decides_by_the_clock_is_found(source: str, lines: list[int]) -> None:
    assert by_the_clock(source) == lines


def _outside_loops(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.While | ast.For | ast.AsyncFor):
            yield from (inner for inner in _functions(child) for inner in _outside_loops(inner))
        elif not _has_no_time(child):
            yield child
            yield from _outside_loops(child)


def _functions(loop: ast.AST) -> list[ast.AST]:
    return [node for node in ast.walk(loop) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def _has_no_time(node: ast.AST) -> bool:
    decorators = node.decorator_list if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else []
    return any(_name(decorator) in WITHOUT_TIME for decorator in decorators)


def _sleeps(call: ast.Call) -> bool:
    is_turn = call.args and isinstance(call.args[0], ast.Constant) and call.args[0].value == 0
    return _name(call.func) == "sleep" and bool(call.args) and not is_turn


def _asks(call: ast.Call) -> bool:
    is_httpx = isinstance(call.func, ast.Attribute) and _name(call.func.value) == "httpx"
    return is_httpx and _name(call.func) in ASKING


def _says_how_long(call: ast.Call) -> bool:
    # A transport that a test plays answers at once; what is passed on by ** is said elsewhere.
    return any(word.arg in {"timeout", "transport", None} for word in call.keywords)


def _reads_clock(test: ast.expr) -> bool:
    return any(isinstance(node, ast.Call) and _name(node.func) in CLOCKS for node in ast.walk(test))


def _name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
