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

    `people_see` is what people see in place of it: another resource, or a function that writes a text of some width.
    """
    if profile.as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
        return
    if callable(people_see):
        click.echo(people_see(width=width_at_hand()))
    else:
        click.echo(readable(value if people_see is None else people_see, columns=columns, width=width_at_hand()))


def width_at_hand() -> int:
    """Return how wide the terminal is; what is piped is not cut to it."""
    console = Console()
    return console.width if console.is_terminal else _WIDE
