"""`rollbook scaling …`."""

import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from rollbook.cli.options import Number
from rollbook.cli.output import show
from rollbook.cli.profile import Profile, pass_profile
from rollbook.cli.read_and_change import read_and_change
from rollbook.cli.stack import run_program
from rollbook.resources import Endpoint, ScalingPolicy


@click.group()
def scaling() -> None:
    """Show and change how replicas follow the load."""


@scaling.command("show")
@click.argument("name", metavar="ENDPOINT")
@pass_profile
def show_scaling(profile: Profile, name: str) -> None:
    """Show the scaling policy of ENDPOINT."""
    with profile.client() as rollbook:
        policy = rollbook.endpoints.scaling(name).policy
        show(profile, {"policy": "none"} if policy is None else msgspec.to_builtins(policy))


@scaling.command("why")
@click.argument("name", metavar="ENDPOINT")
@pass_profile
def why(profile: Profile, name: str) -> None:
    """Explain the number of replicas of each deployment of ENDPOINT."""
    with profile.client() as rollbook:
        answer = rollbook.endpoints.scaling(name)
        show(profile, {"deployments": msgspec.to_builtins(answer.deployments)})


@scaling.command("set")
@click.argument("name", metavar="ENDPOINT")
@click.option("--off", is_flag=True, help="Remove the policy; deployments return to the replicas they were added with.")
@click.option(
    "--min",
    "min_replicas",
    type=click.IntRange(min=0),
    help="Keep at least this many replicas; 0 allows scaling to zero.",
)
@click.option("--max", "max_replicas", type=click.IntRange(min=1), help="Allow at most this many replicas.")
@click.option("--in-flight", type=Number(min=0), help="Aim for this many requests in progress per replica.")
@click.option("--queue-depth", type=Number(min=0), help="Aim for this many waiting requests per replica.")
@click.option("--latency-ms", type=Number(min=0), help="Aim for this mean latency of requests.")
@click.option("--tokens-waiting", type=Number(min=0), help="Aim for this many waiting prompt tokens per replica.")
@click.option("--tolerance", type=Number(0, 1), help="Tolerate this deviation from a target.")
@click.option("--cool-down-ms", type=click.IntRange(min=0), help="Wait this long after a change before scaling up.")
@click.option(
    "--stabilisation-window-ms", type=click.IntRange(min=0), help="Scale down only to what was enough for this long."
)
@click.option(
    "--idle-before-zero-ms", type=click.IntRange(min=0), help="Scale to zero after this long without requests."
)
@click.option("--reason", required=True, help="Reason, recorded in the audit log.")
@click.pass_context
def set_scaling(context: click.Context, /, name: str, reason: str, *, off: bool, **options: Any) -> None:  # noqa: ANN401 - click's values
    """Change ENDPOINT's scaling policy; options left out stay unchanged."""
    changes = {option: value for option, value in options.items() if value is not None}
    if off == bool(changes):
        message = "name what to change, for example --max 3 --in-flight 4; or --off"
        raise click.UsageError(message)
    profile = context.find_object(Profile)
    assert profile is not None, "the group sets it"
    with profile.client() as rollbook:

        def change(seen: Endpoint) -> ScalingPolicy | None:
            known = msgspec.to_builtins(seen.scaling or ScalingPolicy())
            policy = None if off else msgspec.convert({**known, **changes}, ScalingPolicy)
            rollbook.endpoints.set_scaling_policy(name, policy, reason=reason, if_match=seen.stream_version)
            return policy

        policy = read_and_change(rollbook, name, change)
        show(profile, {"policy": "none"} if policy is None else msgspec.to_builtins(policy))


@scaling.command("replay")
@click.option(
    "--policy", type=click.Path(exists=True, dir_okay=False), required=True, help="Read the policy from this JSON file."
)
@click.option("--deployment", required=True, help="Replay this deployment's measurements.")
@click.option("--replicas", default=1, show_default=True, help="Start with this many replicas.")
@click.argument("looks", nargs=-1, type=click.Path(exists=True, dir_okay=False))
@pass_profile
def replay(profile: Profile, policy: str, deployment: str, replicas: int, looks: tuple[str, ...]) -> None:
    """Replay recorded LOOKS under another policy; defaults to those of the stack on this machine."""
    found = looks or tuple(sorted(map(str, Path(profile.data_dir, "autoscaler").glob("looks-*.jsonl"))))
    if not found:
        message = "nothing is recorded yet; set a scaling policy first"
        raise click.UsageError(message)
    given = ["--policy", policy, "--deployment", deployment, "--replicas", str(replicas)]
    sys.exit(run_program("scaling-replay", [*given, *found]))
