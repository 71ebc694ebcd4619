"""`rollbook endpoint …` and `rollbook traffic …`."""

import click

from rollbook.cli.language import endpoint_evaluate, endpoint_tokens
from rollbook.cli.options import LIMIT, TIMEOUT, finite_numbers
from rollbook.cli.output import show
from rollbook.cli.profile import Profile, pass_profile
from rollbook.cli.views import deployment_view, endpoint_view
from rollbook.resources import Endpoint


@click.group()
def endpoint() -> None:
    """Create, deploy to and inspect endpoints."""


endpoint.add_command(endpoint_tokens)
endpoint.add_command(endpoint_evaluate)


def _say(sentence: str) -> None:
    click.echo(sentence, err=True)


@endpoint.command("create")
@click.argument("name")
@click.option("--version", "reference", metavar="MODEL/NUMBER", help="Serve this version from the start.")
@click.option("--replicas", type=click.IntRange(min=1), default=None, help="Run this many instances in each region.")
@click.option("--region", "regions", multiple=True, help="Serve in this region (repeatable); defaults to all regions.")
@click.option(
    "--wait", is_flag=True, help="Wait until it answers; fail with the reason if the version cannot be served."
)
@TIMEOUT
@pass_profile
def create_endpoint(  # noqa: PLR0913  the options
    profile: Profile,
    name: str,
    reference: str | None,
    replicas: int | None,
    regions: tuple[str, ...],
    *,
    wait: bool,
    timeout_s: float,
) -> None:
    """Create endpoint NAME."""
    if wait and reference is None:
        raise click.BadParameter("--wait needs --version", param_hint="--wait")
    with profile.client() as rollbook:
        created = rollbook.endpoints.create(name, version=reference, replicas=replicas, regions=regions)
        if wait:
            created = rollbook.endpoint(name).wait_until_ready(timeout_s=timeout_s, progress=_say)
        show(profile, created, people_see=endpoint_view(created))


@endpoint.command("deploy")
@click.argument("name", metavar="ENDPOINT")
@click.argument("reference", metavar="MODEL/NUMBER")
@click.option(
    "--replicas",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Run this many instances in each region.",
)
@click.option("--region", "regions", multiple=True, help="Run in this region (repeatable); defaults to all regions.")
@pass_profile
def deploy_version(profile: Profile, name: str, reference: str, replicas: int, regions: tuple[str, ...]) -> None:
    """Deploy a version to ENDPOINT, without traffic."""
    with profile.client() as rollbook:
        deployed = rollbook.endpoints.deploy(name, reference, replicas=replicas, regions=regions)
        show(profile, deployed, people_see=deployment_view(deployed))


@endpoint.command("place")
@click.argument("name", metavar="ENDPOINT")
@click.argument("deployment_id", metavar="DEPLOYMENT")
@click.argument("regions", metavar="[REGION]…", nargs=-1)
@click.option("--reason", required=True, help="Reason, recorded in the audit log.")
@pass_profile
def place_deployment(profile: Profile, name: str, deployment_id: str, regions: tuple[str, ...], reason: str) -> None:
    """Run DEPLOYMENT's instances only in these regions; without any, in every region with an agent."""
    with profile.client() as rollbook:
        placed = rollbook.endpoints.place(name, deployment_id, regions, reason=reason)
        show(profile, placed, people_see=endpoint_view(placed))


@endpoint.command("list")
@LIMIT
@pass_profile
def list_endpoints(profile: Profile, limit: int | None) -> None:
    """List endpoints."""
    with profile.client() as rollbook:
        show(profile, rollbook.endpoints.list(limit=limit), columns=("name", "epoch", "active_rollout_id", "id"))


@endpoint.command("show")
@click.argument("name")
@pass_profile
def show_endpoint(profile: Profile, name: str) -> None:
    """Show one endpoint with its deployments and instances."""
    with profile.client() as rollbook:
        found = rollbook.endpoints.get(name)
        show(profile, found, people_see=endpoint_view(found))


@endpoint.command("remove")
@click.argument("name")
@click.option("--reason", required=True, help="Reason, recorded in the audit log.")
@pass_profile
def remove_endpoint(profile: Profile, name: str, reason: str) -> None:
    """Stop serving an endpoint for good: callers get 404, its instances end, and its name is free."""
    with profile.client() as rollbook:
        removed = rollbook.endpoints.remove(name, reason=reason)
    show(profile, removed, columns=("name", "id", "position"))


@click.group()
def traffic() -> None:
    """Show and change how an endpoint's traffic is split among versions."""


def _shares(answered: Endpoint) -> list[dict[str, object]]:
    weights = {share.deployment_id: share.weight_percent for share in answered.allocations}
    return [
        {
            "version": deployment.version,
            "weight_percent": weights.get(deployment.id, 0.0),
            "state": deployment.state,
            "instances": len(deployment.instances),
            "deployment": deployment.id,
        }
        for deployment in answered.deployments
    ]


_SHARE_COLUMNS = ("version", "weight_percent", "state", "instances", "deployment")


@traffic.command("show")
@click.argument("name", metavar="ENDPOINT")
@pass_profile
def show_traffic(profile: Profile, name: str) -> None:
    """Show an endpoint's traffic split."""
    with profile.client() as rollbook:
        show(profile, _shares(rollbook.endpoints.get(name)), columns=_SHARE_COLUMNS)


@traffic.command("set")
@click.argument("name", metavar="ENDPOINT")
@click.argument(
    "weights",
    metavar="DEPLOYMENT=PERCENT",
    nargs=-1,
    required=True,
    callback=finite_numbers("DEPLOYMENT=PERCENT", example="deployment-…=100"),
)
@click.option("--reason", default=None)
@pass_profile
def set_traffic(profile: Profile, name: str, weights: dict[str, float], reason: str | None) -> None:
    """Set the traffic split by hand; percentages must sum to 100."""
    with profile.client() as rollbook:
        show(profile, _shares(rollbook.endpoints.set_traffic(name, weights, reason=reason)), columns=_SHARE_COLUMNS)


@traffic.command("rollback")
@click.argument("name", metavar="ENDPOINT")
@click.option("--reason", required=True, help="Reason, recorded in the audit log.")
@click.option("--epoch", type=int, default=None, help="Restore this epoch's split; defaults to the previous one.")
@pass_profile
def rollback_traffic(profile: Profile, name: str, reason: str, epoch: int | None) -> None:
    """Restore an earlier traffic split of ENDPOINT immediately; aborts an active rollout."""
    with profile.client() as rollbook:
        rolled_back = rollbook.endpoints.rollback(name, reason=reason, epoch=epoch)
        show(profile, _shares(rolled_back), columns=_SHARE_COLUMNS)
