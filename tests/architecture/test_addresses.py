"""Where programs listen and are reached is a setting of the stack: no other code names the host's own address."""

import ast
import re
from collections.abc import Iterator

from tests.architecture.source_tree import Source, sources_of

PRODUCT = ("schemas", "infra", "control_plane", "projections", "serving", "workers")
HOME = "infra/stack/"
LOCAL = re.compile(r"127\.0\.0\.1|\blocalhost\b|INADDR_LOOPBACK|(?<![\w:])::1(?![\w:])", re.IGNORECASE)
# What tells a server of this machine from one across a network listens and connects nowhere by it.
TELLS_LOCAL_FROM_REMOTE = {"infra/clickhouse/client.py"}
# Kafka's controller is the node talking to itself; it must be nowhere else, whatever the node's own address is.
TALKS_TO_ITSELF = {"infra/kafka/embedded.py"}


def test_no_code_outside_the_stack_names_the_hosts_own_address() -> None:
    strays = [
        f"{source.where}:{line} says {text!r}"
        for source in sources_of(*PRODUCT)
        if not source.where.startswith(HOME) and source.where not in TELLS_LOCAL_FROM_REMOTE | TALKS_TO_ITSELF
        for line, text in _literals(source)
        if LOCAL.search(text)
    ]

    assert strays == []


def _literals(source: Source) -> Iterator[tuple[int, str]]:
    """Texts and names of attributes; a docstring is not a code."""
    prose = {id(node.value) for node in ast.walk(source.tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(source.tree):
        match node:
            case ast.Constant(value=str(text)) if id(node) not in prose:
                yield node.lineno, text
            case ast.Attribute(attr=name) | ast.alias(name=name):
                yield node.lineno, name
            case _:
                continue
