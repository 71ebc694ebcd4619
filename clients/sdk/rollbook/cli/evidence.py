"""`rollbook who-served`, `events`, `query`, `gateway` and `token`: what happened, and access to the gateway."""

import time
from pathlib import Path

import click

from rollbook.cli.input_files import STANDARD_INPUT, read_text
from rollbook.cli.output import show
from rollbook.cli.profile import Profile, pass_profile
from rollbook.resources import LogEntry

_LONG_POLL_MS = 10_000
_PAGE = 1_000


@click.command("who-served")
@click.argument("prediction_id")
@pass_profile
def who_served(profile: Profile, prediction_id: str) -> None:
    """Show which version served a prediction, and which event routed it."""
    with profile.client() as rollbook:
        show(profile, rollbook.predictions.who_served(prediction_id))


@click.group()
def events() -> None:
    """Read the log."""


@events.command("tail")
@click.option("--after", type=int, default=None, help="Start after this position; defaults to the last 20 events.")
@click.option("--stream", default=None)
@click.option(
    "--type", "event_type", default=None, help="Print only this type, for example rollouts.RolloutAborted.v1."
)
@click.option("--follow/--no-follow", default=True, help="Wait for new events until Ctrl-C.")
@pass_profile
def tail_events(
    profile: Profile,
    after: int | None,
    stream: str | None,
    event_type: str | None,
    *,
    follow: bool,
) -> None:
    """Print events, one per line."""
    with profile.client() as rollbook:
        position = after if after is not None else max(0, rollbook.health.ready().position - 20)
        while True:
            began = time.monotonic()
            wait_ms = _LONG_POLL_MS if follow else 0
            page = rollbook.events(after=position, limit=_PAGE, stream=stream, event_type=event_type, wait_ms=wait_ms)
            for recorded in page:
                _print_event(profile, recorded)
                position = recorded.position
            if not page and not follow:
                return
            if not page and time.monotonic() - began < 1:
                time.sleep(1)


def _print_event(profile: Profile, recorded: LogEntry) -> None:
    if profile.as_json:
        show(profile, recorded)
        return
    event = recorded.event
    click.echo(f"{recorded.position:>8}  {event['time']}  {event['type']:<40}  {event['stream']}")


# A statement may begin with a comment, `-- x`, and is not an option then.
@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("sql", required=False, type=click.UNPROCESSED)
@click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="Read the statement from this file, or from standard input with -.",
)
@pass_profile
def query(profile: Profile, sql: str | None, file: Path | None) -> None:
    """Run one read-only SQL statement on the views, given as SQL, from a file, or with `-` from standard input."""
    if (sql is None) == (file is None):
        message = "give one statement: either the argument SQL or --file"
        raise click.UsageError(message)
    if sql == str(STANDARD_INPUT):
        file = STANDARD_INPUT
    statement = sql or "" if file is None else read_text(file, option="--file")
    with profile.client() as rollbook:
        answer = rollbook.query(statement)
    columns = [column["name"] for column in answer["meta"]]
    rows = [dict(zip(columns, row, strict=True)) for row in answer["data"]]
    show(profile, rows, columns=columns)


@click.command("token")
@click.argument("endpoints", nargs=-1, required=True)
@click.option("--ttl", "ttl_s", type=click.IntRange(1, 3600), default=3600, show_default=True, help="Seconds.")
@pass_profile
def inference_token(profile: Profile, endpoints: tuple[str, ...], ttl_s: int) -> None:
    """Mint a token for calling ENDPOINTS ('*' for all) through the gateway."""
    with profile.client() as rollbook:
        minted = rollbook.inference_tokens.mint(list(endpoints), ttl_s=ttl_s)
    if profile.as_json:
        show(profile, minted)
    else:
        click.echo(minted.token)


@click.command("gateway")
@pass_profile
def gateway_address(profile: Profile) -> None:
    """Print the gateway's address, where callers send requests."""
    with profile.client() as rollbook:
        address = rollbook.health.ready().gateway_url
    if profile.as_json:
        show(profile, {"url": address})
    else:
        click.echo(address)
