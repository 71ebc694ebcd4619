"""`rollbook rollout …`."""

from functools import partial
from pathlib import Path

import click

from rollbook import Rollbook
from rollbook.cli.gate_table import gate_lines
from rollbook.cli.input_files import read_json_object
from rollbook.cli.options import LIMIT, TIMEOUT
from rollbook.cli.output import show, width_at_hand
from rollbook.cli.profile import Profile, pass_profile
from rollbook.cli.views import rollout_text

PLAN = frozenset(
    {
        "strategy",
        "gates",
        "replicas",
        "alpha",
        "when_inconclusive",
        "when_late",
        "when_no_data",
        "when_too_little_data",
        "warm_up_timeout_ms",
        "max_lag_ms",
        "allow_signature_change",
        "when_region_away",
        "region_grace_ms",
    },
)
_COLUMNS = ("id", "endpoint_name", "phase", "step", "weight_percent", "reason", "started_at")


@click.group()
def rollout() -> None:
    """Start, watch and control rollouts of versions."""


@rollout.command("start")
@click.argument("endpoint")
@click.argument("version", metavar="MODEL/NUMBER")
@click.option(
    "--replicas", type=click.IntRange(min=1), help="Run this many instances of the version, overriding the plan."
)
@click.option(
    "--plan",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=f"A JSON object with any of {', '.join(sorted(PLAN))}; what it leaves out has the server's defaults.",
)
@click.option("--wait", is_flag=True, help="Follow it until it ends, as `rollout watch` does.")
@TIMEOUT
@pass_profile
def start_rollout(  # noqa: PLR0913  the options
    profile: Profile,
    endpoint: str,
    version: str,
    replicas: int | None,
    plan: Path | None,
    *,
    wait: bool,
    timeout_s: float,
) -> None:
    """Start rolling out a version on ENDPOINT, guarded by gates."""
    settings = read_json_object(plan, option="--plan") if plan else {}
    if unknown := settings.keys() - PLAN:
        message = f"unknown member {min(unknown)!r} in {plan}; a plan has {', '.join(sorted(PLAN))}"
        raise click.BadParameter(message, param_hint="--plan")
    if replicas is not None:
        settings["replicas"] = replicas
    with profile.client() as rollbook:
        started = rollbook.rollouts.start(endpoint, version, **settings)
        if wait:
            _watch(profile, rollbook, started.id, timeout_s=timeout_s)
        else:
            show(profile, started, columns=_COLUMNS)


@rollout.command("list")
@click.option("--endpoint", default=None)
@click.option("--active", is_flag=True, default=None, help="List only active rollouts.")
@LIMIT
@pass_profile
def list_rollouts(profile: Profile, endpoint: str | None, limit: int | None, *, active: bool | None) -> None:
    """List rollouts."""
    with profile.client() as rollbook:
        show(profile, rollbook.rollouts.list(endpoint=endpoint, active=active, limit=limit), columns=_COLUMNS)


@rollout.command("show")
@click.argument("rollout_id")
@pass_profile
def show_rollout(profile: Profile, rollout_id: str) -> None:
    """Show how a rollout stands, why, and what each gate compared for its last decision."""
    with profile.client() as rollbook:
        found = rollbook.rollouts.get(rollout_id)
        show(profile, found, people_see=partial(rollout_text, found))


@rollout.command("watch")
@click.argument("rollout_id")
@TIMEOUT
@pass_profile
def watch_rollout(profile: Profile, rollout_id: str, timeout_s: float) -> None:
    """Follow a rollout until it ends; exit with 0 if it completed, 2 if it was aborted."""
    with profile.client() as rollbook:
        _watch(profile, rollbook, rollout_id, timeout_s=timeout_s)


def _watch(profile: Profile, rollbook: Rollbook, rollout_id: str, *, timeout_s: float) -> None:
    final = rollbook.rollout(rollout_id).wait(timeout_s=timeout_s, progress=None if profile.as_json else click.echo)
    if profile.as_json:
        show(profile, final)
    elif final.verdicts:
        click.echo("\n" + "\n".join(gate_lines(final.verdicts, width=width_at_hand())))
    if final.phase == "aborted":
        raise click.exceptions.Exit(2)


def _decision(name: str, summary: str) -> click.Command:
    @click.argument("rollout_id")
    @click.option("--reason", required=True, help="Reason, recorded in the audit log.")
    @pass_profile
    def decide(profile: Profile, rollout_id: str, reason: str) -> None:
        with profile.client() as rollbook:
            show(profile, getattr(rollbook.rollouts, name)(rollout_id, reason=reason), columns=_COLUMNS)

    return click.command(name, help=summary)(decide)


for _name, _summary in (
    ("pause", "Pause a rollout at its current weights."),
    ("resume", "Resume a paused rollout."),
    ("promote", "Promote the candidate to all traffic now, regardless of the gates, or end a bake that waits."),
    ("abort", "Abort a rollout and return all traffic to the baseline."),
):
    rollout.add_command(_decision(_name, _summary))
