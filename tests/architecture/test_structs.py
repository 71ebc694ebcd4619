"""One struct per thing: no two of them write the same fields, so that a new field has one place to go to."""

import ast
from collections.abc import Iterable, Iterator
from itertools import combinations

from tests.architecture.source_tree import Source, product_sources

MAX_SHARED_FIELDS = 5

# A stored event stays as it was written, and the SDK's types are generated from the API's description.
ASIDE = ("schemas/events/", "clients/sdk/rollbook/resources.py")
# The SDK is installed without our other packages, so it writes again what it reads of them.
SDK = "clients/sdk/"

# Two structs, each as `path:class` → why they are not one. An entry that is no longer needed fails the last test.
TWINS: dict[tuple[str, str], str] = {
    (
        "control_plane/registry/commands.py:RegisterVersion",
        "schemas/documents/versions.py:Version",
    ): "the command names a file and leaves out what is read from it; the document has what came of that",
    (
        "control_plane/rollouts/commands.py:StartRollout",
        "schemas/documents/rollouts.py:Rollout",
    ): "members of the command may be left out, and its replicas are those that the candidate begins with",
}
MAX_TWINS = 3

TWO_STRUCTS = """
class Kept:
    a: int
    b: int
    c: int
    d: int
    e: int
    f: int

class Shown:
    f: str
    e: str
    d: str
    c: str
    b: str
    a: str
"""
TWO_STRUCTS_OF_A_BASE = """
class Base:
    a: int
    b: int
    c: int
    d: int
    e: int

class Kept(Base):
    f: int
    of_class: ClassVar[int]

class Shown(Base):
    f: str
    of_class: ClassVar[int]
"""


def test_two_structs_share_few_fields() -> None:
    """Make them one struct, or give the fields that mean the same to a base of both (`EndpointBase`, for example).

    A struct that others look at is in `schemas/documents/`, one that programs send each other in `schemas/`. Where the
    fields only look alike, name the pair in `TWINS` and say why.
    """
    assert {pair: fields for pair, fields in _all_twins().items() if pair not in TWINS} == {}


def test_few_twins_are_allowed_and_each_is_still_needed() -> None:
    assert TWINS.keys() <= _all_twins().keys()
    assert len(TWINS) <= MAX_TWINS


def test_twins_are_found_by_the_fields_that_both_write() -> None:
    assert _twins(_structs_in("a.py", ast.parse(TWO_STRUCTS))) == {("a.py:Kept", "a.py:Shown"): list("abcdef")}
    assert _twins(_structs_in("a.py", ast.parse(TWO_STRUCTS_OF_A_BASE))) == {}


Struct = tuple[str, frozenset[str]]
Twins = dict[tuple[str, str], list[str]]


def _all_twins() -> Twins:
    sources = [source for source in product_sources() if not source.where.startswith(ASIDE)]
    of_sdk = [source for source in sources if source.where.startswith(SDK)]
    others = [source for source in sources if not source.where.startswith(SDK)]
    return _twins(_structs_of(of_sdk)) | _twins(_structs_of(others))


def _structs_of(sources: Iterable[Source]) -> Iterator[Struct]:
    for source in sources:
        yield from _structs_in(source.where, source.tree)


def _structs_in(where: str, tree: ast.Module) -> Iterator[Struct]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield f"{where}:{node.name}", frozenset(_fields_written_in(node))


def _fields_written_in(struct: ast.ClassDef) -> Iterator[str]:
    for statement in struct.body:
        match statement:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=kind) if not name.startswith("_"):
                if "ClassVar" not in ast.unparse(kind):
                    yield name
            case _:
                continue


def _twins(structs: Iterable[Struct]) -> Twins:
    large = [(name, fields) for name, fields in structs if len(fields) > MAX_SHARED_FIELDS]
    pairs = combinations(sorted(large), 2)
    return {
        (one, other): sorted(fields & others)
        for (one, fields), (other, others) in pairs
        if len(fields & others) > MAX_SHARED_FIELDS
    }
