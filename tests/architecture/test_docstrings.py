"""Docstrings where they are a contract: the SDK, ports and the bases of strategy families (style guide, section 8)."""

import ast
from collections.abc import Iterator

from tests.architecture.source_tree import Source, product_sources, sources_of

FILES_OF_CONTRACTS = {"base.py", "ports.py"}


def test_everything_public_of_the_sdk_is_described() -> None:
    bare = [where for source in sources_of("rollbook") for where in _undescribed(source, source.tree, prefix="")]

    assert bare == []


def test_every_protocol_of_a_port_or_a_strategy_family_is_described() -> None:
    bare = [
        f"{source.where}:{node.name}"
        for source in product_sources()
        if source.path.name in FILES_OF_CONTRACTS
        for node in source.tree.body
        if isinstance(node, ast.ClassDef) and _is_protocol(node) and ast.get_docstring(node) is None
    ]

    assert bare == []


def _undescribed(source: Source, node: ast.Module | ast.ClassDef, *, prefix: str) -> Iterator[str]:
    for child in node.body:
        if not isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or child.name.startswith("_"):
            continue
        if ast.get_docstring(child) is None:
            yield f"{source.where}:{prefix}{child.name}"
        if isinstance(child, ast.ClassDef):
            yield from _undescribed(source, child, prefix=f"{prefix}{child.name}.")


def _is_protocol(node: ast.ClassDef) -> bool:
    return any(ast.unparse(base).split("[")[0].endswith("Protocol") for base in node.bases)
