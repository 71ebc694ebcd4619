"""`rollbook views`: what the tables of the views hold, and for how long."""

from typing import Any

import click
import msgspec

from rollbook.cli.output import show
from rollbook.cli.profile import Profile, pass_profile
from rollbook.resources import KeptTable

_MEBIBYTE = 1024**2
_COLUMNS = ("table", "rows", "mib", "kept", "oldest", "newest", "purpose")


@click.command("views")
@pass_profile
def views(profile: Profile) -> None:
    """Show the tables that can be queried: their rows, how long they are kept, and what they are for."""
    with profile.client() as rollbook:
        tables = rollbook.views.list().items
    if profile.as_json:
        show(profile, tables)
        return
    show(profile, [_line(table) for table in tables], columns=_COLUMNS)


def _line(table: KeptTable) -> dict[str, Any]:
    return {
        **msgspec.structs.asdict(table),
        "mib": round(table.bytes / _MEBIBYTE, 1),
        "kept": _kept(table),
        "oldest": table.oldest_at,
        "newest": table.newest_at,
    }


def _kept(table: KeptTable) -> str:
    if table.retention_days is not None:
        return f"{table.retention_days} days"
    return f"days in {table.retention_column}" if table.retention_column else "forever"
