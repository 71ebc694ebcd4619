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
    """Comma-separated names, `any`, or `none`."""

    name = "regions"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> list[str] | None:  # noqa: ARG002 - click's own arguments
        """Convert the text to the API's value; `any` is null there."""
        if value == "any":
            return None
        return [] if value == "none" else [name.strip() for name in value.split(",")]


class _OrUsual(click.ParamType):
    """A whole number, or `usual`."""

    name = "number"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        """Convert the text to the API's value; `usual` is null there."""
        return None if value == "usual" else int(click.INT.convert(value, param, ctx))


@click.group()
def failover() -> None:
    """Show and change who answers when instances cannot be reached."""


def _shown(endpoint: Endpoint) -> dict[str, Any]:
    policy: dict[str, Any] = msgspec.to_builtins(endpoint.failover)
    usual = {"backup_deployment_id": "none", "backup_regions": "any", "max_retries": "usual"}
    shown = {name: usual.get(name, "none") if value is None else value for name, value in policy.items()}
    return {**shown, "failovers": msgspec.to_builtins(endpoint.failovers)}


@failover.command("show")
@click.argument("name", metavar="ENDPOINT")
@pass_profile
def show_failover(profile: Profile, name: str) -> None:
    """Show ENDPOINT's failover policy and its current failovers."""
    with profile.client() as rollbook:
        show(profile, _shown(rollbook.endpoints.get(name)))


@failover.command("set")
@click.argument("name", metavar="ENDPOINT")
@click.option(
    "--backup",
    "backup_deployment_id",
    metavar="VERSION",
    help="Fall back to this deployed version or deployment, or none.",
)
@click.option(
    "--backup-regions",
    type=_Regions(),
    metavar="REGION,…",
    help="Fall back to these regions in order, or any, or none.",
)
@click.option(
    "--max-retries",
    type=_OrUsual(),
    help="Retry a request this many times; `usual`: as often as it takes to reach the last level.",
)
@click.option(
    "--per-try-timeout-ms", type=_OrUsual(), help="Try elsewhere after this many milliseconds; `usual`: never."
)
@click.option(
    "--retry-budget-percent", type=Number(0, 100), help="Limit retries to this share of the requests in progress."
)
@click.option(
    "--retries-at-once", type=click.IntRange(min=0), help="Allow this many concurrent retries regardless of the share."
)
@click.option(
    "--max-connections", type=click.IntRange(min=1), help="Limit one gateway's connections to one deployment."
)
@click.option("--max-pending", type=click.IntRange(min=1), help="Limit the requests waiting for a connection.")
@click.option("--max-requests", type=click.IntRange(min=1), help="Limit the requests in progress.")
@click.option("--reason", required=True, help="Reason, recorded in the audit log.")
@click.pass_context
def set_failover(context: click.Context, /, name: str, reason: str, **options: object) -> None:
    """Change ENDPOINT's failover policy; options left out stay unchanged."""
    given = click.core.ParameterSource.COMMANDLINE
    changes = {option: value for option, value in options.items() if context.get_parameter_source(option) is given}
    if not changes:
        message = "name what to change, for example --backup-regions us-east"
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
