"""`rollbook workspace …`: the tenants of an installation."""

import click

from rollbook.cli.options import LIMIT
from rollbook.cli.output import show
from rollbook.cli.profile import Profile, pass_profile

_COLUMNS = ("name", "description", "is_home", "created_at", "closed_at")


@click.group()
def workspace() -> None:
    """Create, list and close workspaces, as an admin of the home workspace."""


@workspace.command("create")
@click.argument("name")
@click.option("--description", default="", help="Say what it is for.")
@pass_profile
def create(profile: Profile, name: str, description: str) -> None:
    """Create the workspace NAME: 2 to 63 lower-case letters, digits and hyphens.

    Then give it its first admin: rollbook --workspace NAME principal register ada --role admin
    """
    with profile.client() as rollbook:
        created = rollbook.workspaces.create(name, description=description)
    show(profile, created, columns=(*_COLUMNS, "position"))


@workspace.command("list")
@LIMIT
@pass_profile
def list_(profile: Profile, limit: int | None) -> None:
    """List the workspaces, open and closed, by name."""
    with profile.client() as rollbook:
        show(profile, rollbook.workspaces.list(limit=limit), columns=_COLUMNS)


@workspace.command("close")
@click.argument("name")
@click.option("--reason", required=True, help="Reason, recorded in the audit log.")
@pass_profile
def close(profile: Profile, name: str, reason: str) -> None:
    """Close the workspace NAME for good: nobody can act in it any more, and its log stays.

    Its endpoints have to be removed first.
    """
    with profile.client() as rollbook:
        closed = rollbook.workspaces.close(name, reason=reason)
    show(profile, closed, columns=(*_COLUMNS, "position"))
