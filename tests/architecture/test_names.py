"""Names that say nothing, and packages that hide code in their __init__ (style guide, sections 2 and 3)."""

import ast
import re
from collections.abc import Iterator

from tests.architecture.source_tree import all_sources, product_sources, top_level

DRAWERS = {"utils", "util", "common", "helpers", "helper", "misc", "base_classes", "manager", "managers"}
# The SDK has one import name, so this is where its public names come together.
SDK = "clients/sdk/rollbook/"
PUBLIC_SURFACE = f"{SDK}__init__.py"
# Bounds and defaults are MAX_, MIN_ and DEFAULT_.
ODD_BOUND = re.compile(r"_?(MOST|LEAST|FEWEST|LONGEST|SHORTEST|LARGEST|SMALLEST|MAXIMUM|MINIMUM|USUAL)(_[A-Z0-9_]+)?")


def test_no_module_or_folder_is_a_drawer() -> None:
    drawers = [source.where for source in all_sources() if DRAWERS & {source.path.stem, *_folders(source.where)}]

    assert drawers == []


def test_every_init_is_empty() -> None:
    inits = [source for source in all_sources() if source.path.name == "__init__.py"]

    assert [source.where for source in inits if source.text.strip() and source.where != PUBLIC_SURFACE] == []


def test_no_module_takes_the_name_of_a_library_that_it_imports() -> None:
    shadows = [
        source.where
        for source in product_sources()
        if {source.path.stem, *_folders(source.where)[1:]}
        & ({top_level(name) for name in source.imports} - _own(source.where))
    ]

    assert shadows == []


def test_bounds_and_defaults_are_named_as_everywhere() -> None:
    odd = [
        f"{source.where}:{name}"
        for source in all_sources()
        for name in _assigned(source.tree)
        if ODD_BOUND.fullmatch(name)
    ]

    assert odd == []


def _assigned(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def _folders(where: str) -> list[str]:
    return where.split("/")[:-1]


def _own(where: str) -> set[str]:
    return {"rollbook", "rollbook_demo", where.partition("/")[0]}
