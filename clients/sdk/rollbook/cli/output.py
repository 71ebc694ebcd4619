"""What commands print: JSON for programs, and for people what `rollbook.cli.tables` makes of it."""

from collections.abc import Sequence
from typing import Any

import click
import msgspec
from rich.console import Console

from rollbook.cli.profile import Profile
from rollbook.cli.tables import readable

_WIDE = 200


def show(profile: Profile, value: Any, *, columns: Sequence[str] = (), people_see: Any = None) -> None:  # noqa: ANN401  any answer is shown
    """Print a resource or a list of them: as JSON when asked, else the `columns` of it in a table.

    `people_see` is what people see in place of it.
    """
    if profile.as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
        return
    console = Console()
    width = console.width if console.is_terminal else _WIDE
    click.echo(readable(value if people_see is None else people_see, columns=columns, width=width))
