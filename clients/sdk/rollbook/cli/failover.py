"""`rollbook failover …`."""

from typing import Any

import click
import msgspec

from rollbook.cli.options import Number
from rollbook.cli.output import show
from rollbook.cli.profile import Profile, pass_profile
from rollbook.cli.read_and_change import read_and_change
from rollbook.resources import Endpoint


class _Regions(click.ParamType):
    """Names with commas between them; `any`, or `none`."""

    name = "regions"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> list[str] | None:  # noqa: ARG002 - click's own arguments
        """Turn the text into what the API takes; any region is null there."""
        if value == "any":
            return None
        return [] if value == "none" else [name.strip() for name in value.split(",")]


class _OrUsual(click.ParamType):
    """A whole number, or `usual`."""

    name = "number"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        """Turn the text into what the API takes; the usual is null there."""
        return None if value == "usual" else int(click.INT.convert(value, param, ctx))


@click.group()
def failover() -> None:
    """See and choose who answers in place of instances that cannot be reached."""


def _shown(endpoint: Endpoint) -> dict[str, Any]:
    policy: dict[str, Any] = msgspec.to_builtins(endpoint.failover)
    usual = {"backup_deployment_id": "none", "backup_regions": "any", "max_retries": "usual"}
    shown = {name: usual.get(name, "none") if value is None else value for name, value in policy.items()}
    return {**shown, "failovers": msgspec.to_builtins(endpoint.failovers)}


@failover.command("show")
@click.argument("name", metavar="ENDPOINT")
@pass_profile
def show_failover(profile: Profile, name: str) -> None:
    """Show the failover policy of ENDPOINT, and the failovers that go on."""
    with profile.client() as rollbook:
        show(profile, _shown(rollbook.endpoints.get(name)))


@failover.command("set")
@click.argument("name", metavar="ENDPOINT")
@click.option(
    "--backup",
    "backup_deployment_id",
    metavar="VERSION",
    help="A deployed version or deployment that helps out; or none.",
)
@click.option("--backup-regions", type=_Regions(), metavar="REGION,…", help="In this order; or any, or none.")
@click.option("--max-retries", type=_OrUsual(), help="For one request; usual is what reaches the last level.")
@click.option("--per-try-timeout-ms", type=_OrUsual(), help="After this a try is made elsewhere; usual is never.")
@click.option("--retry-budget-percent", type=Number(0, 100), help="Of what is under way.")
@click.option("--retries-at-once", type=click.IntRange(min=0), help="Retries that are always allowed.")
@click.option("--max-connections", type=click.IntRange(min=1), help="Of one gateway to one deployment.")
@click.option("--max-pending", type=click.IntRange(min=1), help="Requests that wait for a connection.")
@click.option("--max-requests", type=click.IntRange(min=1), help="Requests in progress.")
@click.option("--reason", required=True, help="Why; it stands on the log.")
@click.pass_context
def set_failover(context: click.Context, /, name: str, reason: str, **options: object) -> None:
    """Change who answers in ENDPOINT's place; what is not named stays as it is."""
    given = click.core.ParameterSource.COMMANDLINE
    changes = {option: value for option, value in options.items() if context.get_parameter_source(option) is given}
    if not changes:
        message = "name what is to change, for example --backup-regions us-east"
        raise click.UsageError(message)
    if changes.get("backup_deployment_id") == "none":
        changes["backup_deployment_id"] = None
    profile = context.find_object(Profile)
    assert profile is not None, "the group sets it"
    with profile.client() as rollbook:

        def change(seen: Endpoint) -> Endpoint:
            policy = msgspec.convert({**msgspec.to_builtins(seen.failover), **changes}, type(seen.failover))
            return rollbook.endpoints.set_failover_policy(name, policy, reason=reason, if_match=seen.stream_version)

        show(profile, _shown(read_and_change(rollbook, name, change)))
