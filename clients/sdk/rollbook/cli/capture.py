"""`rollbook capture …`."""

from typing import Any

import click
import msgspec

from rollbook.cli.options import Number
from rollbook.cli.output import show
from rollbook.cli.profile import Profile, pass_profile
from rollbook.cli.read_and_change import read_and_change
from rollbook.resources import Endpoint


class _Names(click.ParamType):
    """Comma-separated names, `none`, or where allowed `all`."""

    name = "names"

    def __init__(self, *, or_all: bool) -> None:
        """Choose whether `all` is allowed."""
        self._or_all = or_all

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> list[str] | None:  # noqa: ARG002 - click's own arguments
        """Convert the text to the API's value; `all` is null there."""
        if value == "all" and self._or_all:
            return None
        return [] if value == "none" else [name.strip() for name in value.split(",")]


@click.group()
def capture() -> None:
    """Show and change what is captured of an endpoint's predictions."""


def _shown(endpoint: Endpoint) -> dict[str, Any]:
    kept = {name: "all" if names is None else names for name, names in msgspec.to_builtins(endpoint.capture).items()}
    return {**kept, "version": endpoint.capture_version}


@capture.command("show")
@click.argument("name", metavar="ENDPOINT")
@pass_profile
def show_capture(profile: Profile, name: str) -> None:
    """Show the capture policy of ENDPOINT."""
    with profile.client() as rollbook:
        show(profile, _shown(rollbook.endpoints.get(name)))


@capture.command("set")
@click.argument("name", metavar="ENDPOINT")
@click.option("--inputs", type=_Names(or_all=True), metavar="NAME,…", help="Capture these inputs, or all, or none.")
@click.option("--outputs", type=_Names(or_all=True), metavar="NAME,…", help="Capture these outputs, or all, or none.")
@click.option(
    "--hashed",
    type=_Names(or_all=False),
    metavar="NAME,…",
    help="Replace the values of these tensors with digests, or none.",
)
@click.option("--sampling-rate", type=Number(0, 1), help="Capture this share of predictions.")
@click.option("--max-values", type=click.IntRange(min=0), help="Capture at most this many values per tensor.")
@click.option("--max-bytes", type=click.IntRange(min=0), help="Capture at most this many bytes per tensor.")
@click.option("--prediction/--no-prediction", default=None, help="Capture the value that feedback is compared with.")
@click.option("--retention-days", type=click.IntRange(min=1), help="Delete captured predictions after this many days.")
@click.option("--reason", required=True, help="Reason, recorded in the audit log.")
@click.pass_context
def set_capture(context: click.Context, /, name: str, reason: str, **options: object) -> None:
    """Change what is captured of ENDPOINT's predictions; options left out stay unchanged."""
    given = click.core.ParameterSource.COMMANDLINE
    changes = {option: value for option, value in options.items() if context.get_parameter_source(option) is given}
    if not changes:
        message = "name what to change, for example --sampling-rate 0.1"
        raise click.UsageError(message)
    profile = context.find_object(Profile)
    assert profile is not None, "the group sets it"
    with profile.client() as rollbook:

        def change(seen: Endpoint) -> Endpoint:
            policy = msgspec.convert({**msgspec.to_builtins(seen.capture), **changes}, type(seen.capture))
            return rollbook.endpoints.set_capture_policy(name, policy, reason=reason, if_match=seen.stream_version)

        show(profile, _shown(read_and_change(rollbook, name, change)))
