"""What commands print: tables for people, JSON for programs."""

from collections.abc import Sequence
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table

from rollbook.cli.profile import Profile

_IDS = frozenset({"id", "deployment"})
_WIDE = 200


def show(profile: Profile, value: Any, *, columns: Sequence[str] = ()) -> None:  # noqa: ANN401  any answer is shown
    """Print a resource or a list of them: as JSON when asked, else as a table of `columns`."""
    plain = msgspec.to_builtins(value)
    if profile.as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(plain), indent=2).decode())
    elif isinstance(plain, list):
        _print_table(plain, columns)
    else:
        _print_fields(plain, columns)


def _print_table(rows: list[dict[str, Any]], columns: Sequence[str]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        # An id that is broken over lines can't be copied.
        table.add_column(column.replace("_", " "), overflow="fold", no_wrap=column in _IDS)
    for row in rows:
        table.add_row(*(_cell(row.get(column)) for column in columns))
    console = Console()
    if not console.is_terminal:
        console.width = _WIDE
    console.print(table)


def _print_fields(fields: dict[str, Any], columns: Sequence[str]) -> None:
    width = max(len(name) for name in columns or fields)
    for name in columns or fields:
        click.echo(f"{name.replace('_', ' '):<{width}}  {_cell(fields.get(name))}")


def _cell(value: Any) -> str:  # noqa: ANN401  any answer is shown
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | dict):
        return msgspec.json.encode(value).decode()
    return str(value)
