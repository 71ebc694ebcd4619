"""`rollbook traffic shadow …`, `rollbook traffic key` and `rollbook shadow compare`."""

import click

from rollbook.cli.endpoints import traffic
from rollbook.cli.options import Number
from rollbook.cli.output import show
from rollbook.cli.profile import Profile, pass_profile
from rollbook.resources import Endpoint

_COLUMNS = (
    "version",
    "shadow_version",
    "pairs",
    "compared",
    "agreement",
    "errors",
    "shadow_errors",
    "p50_ms",
    "shadow_p50_ms",
    "p50_difference_ms",
)
_PAIR_COLUMNS = ("prediction_id", "version", "shadow_version", "answer", "shadow_answer", "duration_ms", "shadow_ms")


def _shown(endpoint: Endpoint) -> dict[str, object]:
    shadow, key = endpoint.shadow, endpoint.assigned_by
    version = next((one.version for one in endpoint.deployments if shadow and one.id == shadow.deployment_id), None)
    return {
        "shadow": version,
        "percent": shadow.percent if shadow else None,
        "deployment": shadow.deployment_id if shadow else None,
        "assigned_by": f"header {key.header}" if key.header else f"claim {key.claim}",
    }


@traffic.group("shadow")
def traffic_shadow() -> None:
    """Copy requests to a shadow version whose answers no caller sees."""


@traffic_shadow.command("set")
@click.argument("name", metavar="ENDPOINT")
@click.argument("reference", metavar="MODEL/NUMBER", required=False)
@click.option("--deployment", help="Copy to this ready deployment without traffic instead of a version.")
@click.option("--replicas", type=click.IntRange(min=1), help="Run this many instances if the version must be deployed.")
@click.option(
    "--percent", type=Number(0, 100), default=100.0, show_default=True, help="Copy this share of the requests."
)
@click.option("--reason", required=True, help="Reason, recorded in the audit log.")
@pass_profile
def set_shadow(  # noqa: PLR0913, PLR0917  one parameter an option
    profile: Profile,
    name: str,
    reference: str | None,
    deployment: str | None,
    replicas: int | None,
    percent: float,
    reason: str,
) -> None:
    """Copy requests of ENDPOINT to a version, deploying it if needed."""
    with profile.client() as rollbook:
        shadowed = rollbook.endpoints.set_shadow(
            name, version=reference, deployment_id=deployment, replicas=replicas, percent=percent, reason=reason
        )
        show(profile, _shown(shadowed))


@traffic_shadow.command("remove")
@click.argument("name", metavar="ENDPOINT")
@click.option("--reason", required=True, help="Reason, recorded in the audit log.")
@pass_profile
def remove_shadow(profile: Profile, name: str, reason: str) -> None:
    """Stop copying requests; the deployment stays."""
    with profile.client() as rollbook:
        show(profile, _shown(rollbook.endpoints.remove_shadow(name, reason=reason)))


@traffic.command("key")
@click.argument("name", metavar="ENDPOINT")
@click.option("--header", help="Distinguish callers by this header.")
@click.option("--claim", help="Distinguish callers by this claim of their tokens: sub.")
@click.option("--reason", required=True, help="Reason, recorded in the audit log.")
@pass_profile
def choose_key(profile: Profile, name: str, header: str | None, claim: str | None, reason: str) -> None:
    """Choose the key that keeps a caller of ENDPOINT on one version."""
    with profile.client() as rollbook:
        key = {"header": header, "claim": claim}
        show(profile, _shown(rollbook.endpoints.choose_assignment_key(name, key, reason)))


@click.group()
def shadow() -> None:
    """Compare a shadow with live traffic."""


@shadow.command("compare")
@click.argument("name", metavar="ENDPOINT")
@click.option("--since-ms", type=int, help="Start at this Unix time in ms; defaults to an hour ago.")
@click.option("--tolerance", type=Number(min=0), help="Treat numbers that differ by at most this as equal.")
@click.option("--pairs", type=click.IntRange(0, 1000), help="List this many differing pairs instead of the totals.")
@pass_profile
def compare(profile: Profile, name: str, since_ms: int | None, tolerance: float | None, pairs: int | None) -> None:
    """Compare the answers of ENDPOINT's shadow with those that callers got."""
    with profile.client() as rollbook:
        answered = rollbook.endpoints.compare_shadow(name, since_ms=since_ms, tolerance=tolerance, limit=pairs)
    if profile.as_json:
        show(profile, answered)
    elif pairs is None:
        show(profile, answered.items, columns=_COLUMNS)
    else:
        show(profile, answered.pairs, columns=_PAIR_COLUMNS)
