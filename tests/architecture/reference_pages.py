"""The tables of docs/reference that come from the code.

Each stands in its page between two marks. `python -m tests.architecture.reference_pages` regenerates them;
test_documentation.py fails where a page says something else than the code.
"""

import ast
import importlib
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar, get_args

import msgspec

from control_plane.describe import operations
from control_plane.errors import RollbookError
from control_plane.web.problems import status_of_kind
from infra.operations import Operation, Operations
from infra.settings import describe_settings
from projections.errors import QueryError
from schemas.catalogue import EVENT_TYPES, TYPE_NAMES
from schemas.documents.kinds import DOCUMENTS
from schemas.events.access import Role
from schemas.events.rollouts import Gate
from schemas.topics import FOREVER, TOPICS, Topic
from tests.architecture.source_tree import ROOT, Source, product_sources

Kind = TypeVar("Kind")

_HOUR_MS = 60 * 60 * 1000
_DAY_MS = 24 * _HOUR_MS
_HAS_CODES = re.compile(r"^    code(: ClassVar\[str\])? = ", re.MULTILINE)


class Loaded(NamedTuple):
    """One call of `load_settings`: which struct, under which prefix."""

    struct: type[msgspec.Struct]
    prefix: str

    @property
    def program(self) -> str:
        return self.prefix.removeprefix("ROLLBOOK_").rstrip("_").lower()


def loaded_settings() -> list[Loaded]:
    """Every struct that a program of ours fills from its environment, found where it is loaded."""
    found = {(source.where, name) for source in product_sources() for name in _structs_loaded_in(source)}
    loaded = []
    for where, name in sorted(found):
        module = importlib.import_module(where.removesuffix(".py").replace("/", "."))
        loaded.append(Loaded(getattr(module, name), module.PREFIX))
    return sorted(loaded, key=lambda one: one.prefix)


def settings_tables() -> str:
    return "\n\n".join(_settings_table(one) for one in loaded_settings())


def topics_table() -> str:
    rows = [(f"`{topic.name}`", topic.key, str(topic.partitions), _kept(topic), topic.written_by) for topic in TOPICS]
    return _table(("topic", "key", "partitions", "kept for", "written by"), rows)


def documents_table() -> str:
    rows = [
        (f"[`{kind}`](../../schemas/generated/documents/{kind}.json)", _first_sentence(struct))
        for kind, struct in sorted(DOCUMENTS.items())
    ]
    return _table(("kind", "document of"), rows)


def event_types_table() -> str:
    rows = [
        (
            f"[`{name}`](../../schemas/generated/events/{name}.json)",
            ", ".join(f"`{field}`" for field in struct.__struct_fields__),
            _first_sentence(struct) if struct in TYPE_NAMES else "No longer written; read as the next version.",
        )
        for name, struct in sorted(EVENT_TYPES.items())
    ]
    return _table(("type", "data", "meaning"), rows)


def gates_table() -> str:
    rows = [
        (
            f"`{gate.__struct_config__.tag}`",
            ", ".join(f"`{field}`" for field in gate.__struct_fields__),
            " ".join((gate.__doc__ or "").split()),
        )
        for gate in get_args(Gate)
    ]
    return _table(("`kind`", "parameters", "meaning"), rows)


def problem_codes_table() -> str:
    meanings: dict[tuple[int, str], set[str]] = defaultdict(set)
    for status, kind in _coded_errors():
        meanings[status, kind.code].add(_first_sentence(kind))
    rows = [(f"`{code}`", str(status), " ".join(sorted(texts))) for (status, code), texts in sorted(meanings.items())]
    return _table(("code", "status", "meaning"), rows)


def operations_tables() -> str:
    return "\n\n".join(_operations_table(group.tag, group.operations) for group in _by_tag())


TABLES: Mapping[str, Mapping[str, Callable[[], str]]] = {
    "docs/reference/settings.md": {"settings": settings_tables},
    "docs/reference/events.md": {
        "topics": topics_table,
        "documents": documents_table,
        "event types": event_types_table,
    },
    "docs/reference/gates.md": {"gates": gates_table},
    "docs/reference/http_api.md": {"operations": operations_tables, "problem codes": problem_codes_table},
}


def with_tables(page: str, tables: Mapping[str, Callable[[], str]]) -> str:
    """Return the page with each of its tables as the code has it now."""
    for name, table in tables.items():
        begin, end = f"<!-- generated: {name} -->\n", "<!-- end of generated -->"
        before, found, rest = page.partition(begin)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise LookupError(f"the page has no place for the table {name!r}")
        page = f"{before}{begin}\n{table()}\n\n{end}{after}"
    return page


def main() -> None:
    for where, tables in TABLES.items():
        path = ROOT / where
        path.write_text(with_tables(path.read_text(encoding="utf-8"), tables), encoding="utf-8")
        sys.stdout.write(f"{where}\n")


def _structs_loaded_in(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        match node:
            case ast.Call(func=ast.Name(id="load_settings"), args=[ast.Name(id=name), *_]):
                yield name
            case _:
                continue


def _settings_table(loaded: Loaded) -> str:
    rows = [
        (f"`{one.variable}`", one.kind, _default(one.default), one.purpose)
        for one in describe_settings(loaded.struct, loaded.prefix)
    ]
    return f"### {loaded.program}\n\n" + _table(("variable", "kind", "default", "purpose"), rows)


def _by_tag() -> list[Operations]:
    found: dict[str, list[Operation]] = defaultdict(list)
    for group in operations():
        found[group.tag] += group.operations
    return [Operations(tag, of_it) for tag, of_it in sorted(found.items())]


def _operations_table(tag: str, of_it: Sequence[Operation]) -> str:
    rows = [
        (
            f"`{each.method} {each.plain_path}`",
            each.summary,
            ", ".join(role for role in get_args(Role) if role in each.roles) or "anybody",
            ", ".join(_codes(each)),
        )
        for each in of_it
    ]
    return f"### {tag}\n\n" + _table(("operation", "what it does", "who may", "errors of its own"), rows)


def _codes(operation: Operation) -> list[str]:
    """Return the codes of an operation; of those that one item of many may have, that they are of one."""
    own, of_items = (
        sorted({str(vars(kind)["code"]) for kind in kinds}) for kinds in (operation.errors, operation.item_errors)
    )
    return [f"`{code}`" for code in own] + [f"`{code}` of an item" for code in of_items]


def _default(default: str | None) -> str:
    match default:
        case None:
            return "required"
        case "" | "None":
            return "none"
        case _:
            return f"`{default}`"


def _kept(topic: Topic) -> str:
    return _retention(topic.retention_ms) if topic.tombstones_kept_ms is None else "the last record of each key"


def _retention(retention_ms: int) -> str:
    if retention_ms == FOREVER:
        return "indefinitely"
    days, rest_ms = divmod(retention_ms, _DAY_MS)
    return f"{retention_ms // _HOUR_MS} hours" if rest_ms else f"{days} days"


def _coded_errors() -> Iterator[tuple[int, type[RollbookError] | type[QueryError]]]:
    for source in product_sources():
        if source.where.startswith("control_plane/") and _HAS_CODES.search(source.text):
            importlib.import_module(source.where.removesuffix(".py").replace("/", "."))
    for refusal in _below(RollbookError):
        yield int(status_of_kind(refusal)), refusal
    for view_error in _below(QueryError):
        yield view_error.status, view_error


def _below(root: type[Kind]) -> Iterator[type[Kind]]:
    for kind in root.__subclasses__():
        if kind.__module__.startswith(("control_plane.", "projections.")):
            yield kind
            yield from _below(kind)


def _first_sentence(kind: type) -> str:
    return (kind.__doc__ or "").strip().partition("\n")[0]


def _table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [headings, ("---",) * len(headings), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    main()
