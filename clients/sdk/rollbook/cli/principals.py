"""`rollbook principal …`: the people and programs that may act, and their tokens."""

from typing import Literal, cast

import click

from rollbook.cli.options import LIMIT
from rollbook.cli.output import show
from rollbook.cli.profile import Profile, pass_profile

_Role = Literal["admin", "operator", "service", "viewer"]
_Duty = Literal["agent", "autoscaler", "batches", "drift", "gateway", "judge"]
_ROLE = click.option("--role", type=click.Choice(["viewer", "operator", "admin", "service"]), required=True)


@click.group()
def principal() -> None:
    """Register and list who may act in a workspace."""


@principal.command("register")
@click.argument("name")
@_ROLE
@click.option("--kind", type=click.Choice(["person", "service"]), default="person", show_default=True)
@click.option("--email", help="Kept encrypted, as the name is.")
@click.option(
    "--duty",
    type=click.Choice(["agent", "autoscaler", "batches", "drift", "gateway", "judge"]),
    help="Let a service do only what this program of Rollbook does.",
)
@pass_profile
def register(profile: Profile, name: str, role: str, kind: str, email: str | None, duty: str | None) -> None:
    """Register the person or program NAME, and print its token, which is shown only this once."""
    with profile.client() as rollbook:
        issued = rollbook.principals.register(
            cast('Literal["person", "service"]', kind),
            name,
            cast("_Role", role),
            email=email,
            duty=cast("_Duty | None", duty),
        )
    show(profile, issued, columns=("id", "token"))


@principal.command("list")
@LIMIT
@pass_profile
def list_(profile: Profile, limit: int | None) -> None:
    """List the principals of the workspace."""
    with profile.client() as rollbook:
        found = rollbook.principals.list(limit=limit)
    show(profile, found, columns=("id", "name", "kind", "role", "duty", "is_erased"))
