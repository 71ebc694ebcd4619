"""`rollbook monitor …`: watch endpoints for drift."""

import re
import time
from datetime import UTC, datetime
from functools import partial
from typing import Any

import click
import msgspec

from rollbook.cli.options import LIMIT, Number, finite
from rollbook.cli.output import show
from rollbook.cli.profile import Profile, pass_profile
from rollbook.cli.tables import readable
from rollbook.resources import Bounds, Finding, Monitor, ReferenceTraffic

_COLUMNS = ("name", "endpoint_name", "phase", "outcome", "reason", "judged_at")
_SAID_AGAIN_MS = 24 * 3_600_000
_UNITS_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}
_LENGTH = re.compile(r"([1-9][0-9]{0,4})([mhd])")
_FINDINGS = ("feature", "change", "effect", "interval", "allowed", "since", "values")
_REASON = click.option("--reason", required=True, help="Reason, recorded in the audit log.")


class Moment(click.ParamType):
    """A time: RFC 3339, or how long ago, such as 7d, 12h or 30m; in Unix ms."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ANN401 - click's own
        """Convert the text to Unix ms."""
        text = str(value)
        if length := _LENGTH.fullmatch(text):
            return int(time.time() * 1_000) - int(length[1]) * _UNITS_MS[length[2]]
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            self.fail(
                f"{text!r} is not a time; give one such as 2026-12-01T14:00:00Z, or how long ago, such as 7d",
                param,
                ctx,
            )
        return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000)


@click.group()
def monitor() -> None:
    """Watch endpoints for drift, with a budget for false alarms."""


@monitor.command("create")
@click.argument("name")
@click.option("--endpoint", required=True, help="Watch what this endpoint is asked.")
@click.option(
    "--reference-from",
    "from_ms",
    type=Moment(),
    required=True,
    help="Start of the reference, such as 7d for a week ago.",
)
@click.option("--reference-until", "until_ms", type=Moment(), help="End of the reference; defaults to now.")
@click.option(
    "--detector",
    type=click.Choice(["input_drift", "prediction_drift"]),
    help="Watch what the model is asked, or what it answers.  [default: input_drift]",
)
@click.option("--feature", "features", multiple=True, help="Watch only this feature; may be repeated.")
@click.option("--deployment", "deployments", multiple=True, help="Take the reference from this deployment only.")
@click.option("--window", "window_s", type=int, help="Seconds of a window.  [default: 3600]")
@click.option(
    "--false-alarm-budget",
    type=Number(0, 1),
    help="Allowed probability of any false alarm within 30 days.  [default: 0.1]",
)
@click.option("--settling-windows", type=int, help="Learn from so many windows how rows depend.  [default: 24]")
@click.option("--bound", "bounds", multiple=True, metavar="SCORE=SHARE", help="Allow this change, as location=0.05.")
@pass_profile
def create(profile: Profile, /, name: str, endpoint: str, **options: Any) -> None:  # noqa: ANN401 - click's values
    """Create the monitor NAME, which compares each window of traffic with a stretch of the past.

    See what an endpoint's features are with `rollbook features ENDPOINT`.
    """
    reference = ReferenceTraffic(
        from_ms=options.pop("from_ms"),
        until_ms=options.pop("until_ms"),
        deployments=list(options.pop("deployments")),
    )
    features, bounds = list(options.pop("features")), _bounds(options.pop("bounds"))
    given = {option: value for option, value in options.items() if value is not None}
    with profile.client() as rollbook:
        created = rollbook.monitors.create(name, endpoint, reference, features=features, bounds=bounds, **given)
    _show(profile, created)


@monitor.command("list")
@click.option("--endpoint", default=None, help="List only those of this endpoint.")
@LIMIT
@pass_profile
def list_(profile: Profile, endpoint: str | None, limit: int | None) -> None:
    """List monitors, and what they found."""
    with profile.client() as rollbook:
        show(profile, rollbook.monitors.list(endpoint=endpoint, limit=limit), columns=_COLUMNS)


@monitor.command("show")
@click.argument("name")
@pass_profile
def show_(profile: Profile, name: str) -> None:
    """Show what the monitor NAME found, and what it watches."""
    with profile.client() as rollbook:
        _show(profile, rollbook.monitors.get(name))


@monitor.command("check")
@click.argument("name")
@pass_profile
def check(profile: Profile, name: str) -> None:
    """Show what the monitor NAME found; exit with 2 if it is a drift, 3 if there is no answer of the last day."""
    with profile.client() as rollbook:
        found = rollbook.monitors.get(name)
    _show(profile, found)
    if found.outcome == "drift":
        raise click.exceptions.Exit(2)
    if found.outcome != "no_drift" or not is_looked_at(found, now_ms=int(time.time() * 1_000)):
        raise click.exceptions.Exit(3)


@monitor.command("change")
@click.argument("name")
@click.option("--feature", "features", multiple=True, help="Watch only this feature; may be repeated.")
@click.option("--false-alarm-budget", type=Number(0, 1), help="Allowed probability of any false alarm within 30 days.")
@click.option("--bound", "bounds", multiple=True, metavar="SCORE=SHARE", help="Allow this change, as location=0.05.")
@_REASON
@pass_profile
def change(profile: Profile, /, name: str, reason: str, **options: Any) -> None:  # noqa: ANN401 - click's values
    """Change what the monitor NAME watches; it gathers evidence anew. Bounds that you leave out stay as they are."""
    features, bounds = list(options.pop("features")), options.pop("bounds")
    given = {option: value for option, value in options.items() if value is not None}
    if features:
        given["features"] = features
    with profile.client() as rollbook:
        if bounds:
            known = msgspec.to_builtins(rollbook.monitors.get(name).terms.bounds)
            given["bounds"] = msgspec.convert(known | _named_bounds(bounds), Bounds)
        if not given:
            message = "name what to change, for example --bound location=0.05"
            raise click.UsageError(message)
        _show(profile, rollbook.monitors.change(name, reason, **given))


def _decision(verb: str, summary: str) -> click.Command:
    @click.argument("name")
    @_REASON
    @pass_profile
    def decide(profile: Profile, /, name: str, reason: str) -> None:
        with profile.client() as rollbook:
            _show(profile, getattr(rollbook.monitors, verb)(name, reason))

    return click.command(verb, help=summary)(decide)


for _verb, _summary in (
    ("pause", "Stop the looks of the monitor NAME."),
    ("resume", "Let the monitor NAME look again, at what comes from now on."),
    ("acknowledge", "Acknowledge the drift that the monitor NAME found; it gathers evidence anew."),
    ("remove", "Remove the monitor NAME."),
):
    monitor.add_command(_decision(_verb, _summary))


def is_looked_at(found: Monitor, *, now_ms: int) -> bool:
    """Return whether somebody looks: an answer that stays the same is recorded again once a day."""
    allowed_ms = _SAID_AGAIN_MS + found.terms.window_ms + found.terms.late_after_ms
    return found.phase == "watching" and now_ms - found.judged_until_ms <= allowed_ms


def monitor_text(found: Monitor, *, width: int) -> str:
    """Return a monitor as text: its answer and why, what has changed, and what it watches."""
    standing = {"phase": found.phase, "outcome": found.outcome, "reason": found.reason}
    terms = found.terms
    plain = {
        "endpoint": found.endpoint_name,
        "detector": terms.detector,
        "features": terms.features or "all of the reference",
        "window": f"{terms.window_ms // 1_000} s",
        "false alarms": f"at most {terms.false_alarm_budget:g} in 30 days",
        "reference": f"{_time(found.stretch.from_ms)} to {_time(found.stretch.until_ms)}",
        "evidence since": _time(found.since_ms),
        "judged until": _time(found.judged_until_ms) if found.judged_until_ms else None,
        "name": found.name,
        "id": found.id,
    }
    findings = [readable([_line(each) for each in found.findings], columns=_FINDINGS, width=width), ""]
    return "\n".join(
        [readable(standing, width=width), "", *(findings if found.findings else []), readable(plain, width=width)]
    )


def _line(finding: Finding) -> dict[str, object]:
    what = finding.kind if not finding.category else f'share of "{finding.category}"'
    return {
        "feature": finding.feature,
        "change": f"{what} {finding.direction}",
        "effect": f"{finding.effect:+.3f}",
        "interval": f"{finding.lower:+.3f} to {finding.upper:+.3f}",
        "allowed": f"{finding.allowed:g}",
        "since": _time(finding.began_at_ms),
        "values": finding.rows,
    }


def _show(profile: Profile, found: Monitor) -> None:
    show(profile, found, people_see=partial(monitor_text, found))


def _bounds(given: tuple[str, ...]) -> Bounds:
    return msgspec.convert(_named_bounds(given), Bounds)


def _named_bounds(given: tuple[str, ...]) -> dict[str, float]:
    known: dict[str, float] = {}
    for each in given:
        name, separator, share = each.partition("=")
        if not separator or name not in Bounds.__struct_fields__:
            message = f"{each!r} is not a bound; give one as location=0.05, of {', '.join(Bounds.__struct_fields__)}"
            raise click.BadParameter(message, param_hint="--bound")
        try:
            known[name] = finite(share)
        except ValueError as error:
            message = f"{share!r} is not a number"
            raise click.BadParameter(message, param_hint="--bound") from error
    return known


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
