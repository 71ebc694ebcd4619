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
    """See and choose what the number of replicas follows."""


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
    """Say why each deployment of ENDPOINT has as many replicas as it has."""
    with profile.client() as rollbook:
        answer = rollbook.endpoints.scaling(name)
        show(profile, {"deployments": msgspec.to_builtins(answer.deployments)})


@scaling.command("set")
@click.argument("name", metavar="ENDPOINT")
@click.option("--off", is_flag=True, help="No policy: replicas as the deployments were added with.")
@click.option("--min", "min_replicas", type=click.IntRange(min=0), help="At least so many replicas; 0 lets it sleep.")
@click.option("--max", "max_replicas", type=click.IntRange(min=1), help="At most so many replicas.")
@click.option("--in-flight", type=Number(min=0), help="Requests under way that one replica should have.")
@click.option("--queue-depth", type=Number(min=0), help="Requests waiting that one replica should have.")
@click.option("--latency-ms", type=Number(min=0), help="What requests should take on average.")
@click.option("--tokens-waiting", type=Number(min=0), help="Prompt tokens waiting that one replica should have.")
@click.option("--tolerance", type=Number(0, 1), help="How far a load may be from its target.")
@click.option("--cool-down-ms", type=click.IntRange(min=0), help="Time from a change to the next rise.")
@click.option(
    "--stabilisation-window-ms", type=click.IntRange(min=0), help="What replicas may shrink to has to suffice so long."
)
@click.option("--idle-before-zero-ms", type=click.IntRange(min=0), help="Time without any request before it sleeps.")
@click.option("--reason", required=True, help="Why; it stands on the log.")
@click.pass_context
def set_scaling(context: click.Context, /, name: str, reason: str, *, off: bool, **options: Any) -> None:  # noqa: ANN401 - click's values
    """Change what the replicas of ENDPOINT follow; what is not named stays as it is."""
    changes = {option: value for option, value in options.items() if value is not None}
    if off == bool(changes):
        message = "name what is to change, for example --max 3 --in-flight 4; or --off"
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
@click.option("--policy", type=click.Path(exists=True, dir_okay=False), required=True, help="A policy as JSON.")
@click.option("--deployment", required=True, help="Whose recorded looks are replayed.")
@click.option("--replicas", default=1, show_default=True, help="How many it has at the start.")
@click.argument("looks", nargs=-1, type=click.Path(exists=True, dir_okay=False))
@pass_profile
def replay(profile: Profile, policy: str, deployment: str, replicas: int, looks: tuple[str, ...]) -> None:
    """Say what another policy would have done with recorded LOOKS; by default those of the stack on this machine."""
    found = looks or tuple(sorted(map(str, Path(profile.data_dir, "autoscaler").glob("looks-*.jsonl"))))
    if not found:
        message = "nothing was recorded yet: the autoscaler records deployments under a scaling policy"
        raise click.UsageError(message)
    given = ["--policy", policy, "--deployment", deployment, "--replicas", str(replicas)]
    sys.exit(run_program("scaling-replay", [*given, *found]))
