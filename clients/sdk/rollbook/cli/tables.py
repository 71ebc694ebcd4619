"""Resources as people read them: fields, one a line, and tables that fit the terminal."""

import textwrap
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

Record = Mapping[str, Any]

_NOTHING = "-"
_INDENT = _GAP = 2
_MAX_INLINE_LENGTH = 60
_MIN_TEXT_WIDTH = 20


def readable(value: Any, *, columns: Sequence[str] = (), width: int) -> str:  # noqa: ANN401  any answer is shown
    """Return a resource as its fields and a list of them as a table; lines are longer than `width` for long ids alone.

    `columns` chooses and orders what is shown; by default that is everything which has a value.
    """
    plain = msgspec.to_builtins(value, builtin_types=())
    if isinstance(plain, list | tuple):
        return "\n".join(_table_lines(plain, columns, width))
    return "\n".join(_record_lines(plain, columns, width))


def brief(value: Any) -> str:  # noqa: ANN401  any answer is shown
    """Return a value in one line."""
    match value:
        case None | () | [] | "":
            return _NOTHING
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case list() | tuple():
            return ", ".join(f"({brief(item)})" if isinstance(item, Mapping) else brief(item) for item in value)
        case Mapping():
            return ", ".join(f"{name}={brief(item)}" for name, item in value.items()) or _NOTHING
        case _:
            return str(value)


def _record_lines(record: Record, columns: Sequence[str], width: int) -> list[str]:
    """Return plain fields first, each beside its name, and then what takes more room, below its name."""
    names = list(columns or record)
    wide = [name for name in names if _takes_room(record.get(name))]
    plain = [name for name in names if name not in wide]
    column = max((len(name) for name in plain), default=0) + 2
    lines = [line for name in plain for line in _field_lines(name, record.get(name), column, width)]
    for name in wide:
        value = record[name]
        inner = width - _INDENT
        below = _record_lines(value, (), inner) if isinstance(value, Mapping) else _table_lines(value, (), inner)
        lines += ["", _label(name), *(f"{'':<{_INDENT}}{line}".rstrip() for line in below)]
    return lines


def _takes_room(value: Any) -> bool:  # noqa: ANN401  any answer is shown
    if isinstance(value, Mapping):
        return len(brief(value)) > _MAX_INLINE_LENGTH or any(isinstance(item, Mapping) for item in value.values())
    return isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value)


def _field_lines(name: str, value: Any, column: int, width: int) -> list[str]:  # noqa: ANN401  any answer is shown
    """Return a name and its value, which goes on below itself where it is long. An id is never broken."""
    text = textwrap.wrap(
        brief(value),
        max(width - column, _MIN_TEXT_WIDTH),
        break_long_words=False,
        break_on_hyphens=False,
    )
    first, *others = text or [_NOTHING]
    return [f"{_label(name):<{column}}{first}", *(f"{'':<{column}}{line}" for line in others)]


def _table_lines(rows: Sequence[Any], columns: Sequence[str], width: int) -> list[str]:
    """Return a table, or where a word of it would have to be broken, the fields of one row after the other."""
    records = [row if isinstance(row, Mapping) else {"value": row} for row in rows]
    shown = list(columns) or _used(records)
    cells = {column: [brief(record.get(column)) for record in records] for column in shown}
    if sum(_least_width(column, cells[column]) + _GAP for column in shown) - _GAP > width:
        blocks = [_record_lines(record, shown, width) for record in records]
        return [line for number, block in enumerate(blocks) for line in ([""] * bool(number) + block)]
    table = Table(box=None, pad_edge=False)
    for column in shown:
        # An id that is broken over lines cannot be copied.
        table.add_column(Text(_label(column)), no_wrap=not any(" " in cell for cell in cells[column]))
    for row in zip(*cells.values(), strict=True):
        # Text keeps what looks like markup, and what looks like an emoji.
        table.add_row(*(Text(cell) for cell in row))
    console = Console(file=StringIO(), width=width, color_system=None)
    with console.capture() as captured:
        console.print(table)
    return [line.rstrip() for line in captured.get().splitlines()]


def _least_width(column: str, cells: Sequence[str]) -> int:
    words = [word for text in (_label(column), *cells) for word in text.split()]
    longest_cell = max(map(len, cells), default=0)
    return max(min(longest_cell, _MIN_TEXT_WIDTH), *map(len, words), len(_label(column)))


def _used(records: Sequence[Record]) -> list[str]:
    names = dict.fromkeys(name for record in records for name in record)
    return [name for name in names if any(brief(record.get(name)) != _NOTHING for record in records)]


def _label(name: str) -> str:
    return name.replace("_", " ")
