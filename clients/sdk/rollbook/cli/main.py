"""The `rollbook` command."""

import sys
from collections.abc import Sequence
from importlib.metadata import version as distribution_version
from pathlib import Path

import click

from rollbook import Problem, RollbookError, _sendable
from rollbook.cli import (
    batch,
    capture,
    endpoints,
    evidence,
    failover,
    features,
    feedback,
    monitors,
    principals,
    registry,
    resources,
    retention,
    rollouts,
    scaling,
    shadows,
    stack,
    tokens,
    workspaces,
)
from rollbook.cli.options import checked_by
from rollbook.cli.profile import Profile
from rollbook.local_stack import DEFAULT_DATA_DIR

_REFUSED = 1


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--url",
    envvar="ROLLBOOK_URL",
    callback=checked_by(_sendable.url),
    help="Use the API at this address; defaults to the stack on this machine.",
)
@click.option(
    "--token",
    envvar="ROLLBOOK_TOKEN",
    callback=checked_by(_sendable.token),
    help="Use this bearer token; defaults to the stack's own admin token.",
)
@click.option(
    "--workspace",
    envvar="ROLLBOOK_WORKSPACE",
    callback=checked_by(_sendable.workspace),
    help="Act in this workspace, as an admin of the home workspace; defaults to the token's own.",
)
@click.option(
    "--data-dir",
    envvar="ROLLBOOK_DATA_DIR",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEFAULT_DATA_DIR,
    show_default=True,
    help="Use the stack on this machine that keeps its data here.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.version_option(distribution_version("rollbook"))
@click.pass_context
def cli(
    context: click.Context,
    *,
    url: str | None,
    token: str | None,
    workspace: str | None,
    data_dir: Path,
    as_json: bool,
) -> None:
    """Roll out AI models gradually, and find out what happened and why."""
    context.obj = Profile(data_dir=data_dir.absolute(), url=url, token=token, workspace=workspace, as_json=as_json)


for _command in (
    stack.up,
    stack.down,
    stack.stack_status,
    stack.logs,
    stack.run,
    stack.demo,
    stack.audit,
    stack.doctor,
    registry.model,
    registry.version,
    endpoints.endpoint,
    endpoints.traffic,
    batch.batch,
    capture.capture,
    scaling.scaling,
    failover.failover,
    shadows.shadow,
    rollouts.rollout,
    evidence.who_served,
    evidence.events,
    evidence.query,
    evidence.gateway_address,
    evidence.inference_token,
    tokens.tokens,
    resources.resources,
    features.features,
    monitors.monitor,
    feedback.feedback,
    retention.views,
    workspaces.workspace,
    principals.principal,
):
    cli.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a refusal is one sentence on standard error and exit code 1."""
    try:
        cli(args=arguments, prog_name="rollbook")
    except Problem as problem:
        click.echo(f"{problem} [{problem.code}]", err=True)
        sys.exit(_REFUSED)
    except RollbookError as error:
        click.echo(str(error), err=True)
        sys.exit(_REFUSED)
    except OSError as error:
        click.echo(f"{error.filename}: {error.strerror}" if error.filename else str(error), err=True)
        sys.exit(_REFUSED)
