"""`rollbook batch …`."""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from rollbook import RollbookError
from rollbook.cli.options import GATEWAY, Number, once_each
from rollbook.cli.output import show
from rollbook.cli.profile import Profile

if TYPE_CHECKING:
    from rollbook.batch.scoring import Summary

_LINE_EVERY_S = 10.0
_INTERRUPTED = 130
_COLUMNS = ("rows", "scored", "rejected", "resumed", "output", "rejected_file", "versions")


@click.group()
def batch() -> None:
    """Score many rows at once, behind the requests of live callers."""


def _read_columns(
    _context: click.Context, option: click.Parameter, given: tuple[str, ...]
) -> dict[str, tuple[str, ...]]:
    found = []
    for text in given:
        tensor, equals, names = text.partition("=")
        columns = tuple(name.strip() for name in names.split(","))
        if not (tensor and equals and all(columns)):
            message = f"{text!r} does not read TENSOR=COLUMN,COLUMN,…"
            raise click.BadParameter(message)
        found.append((tensor, columns))
    return once_each(found, parameter=option)


@batch.command("score")
@click.argument("endpoint", metavar="ENDPOINT")
@click.option(
    "--input",
    "source",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="A Parquet file.",
)
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The Parquet file to write."
)
@click.option(
    "--column",
    "columns",
    metavar="TENSOR=A,B,…",
    multiple=True,
    callback=_read_columns,
    help="Which columns make an input of the model; by default the one of its name, or all that are not kept.",
)
@click.option("--keep", "kept", metavar="COLUMN", multiple=True, help="A column that the output has too, unsent.")
@click.option(
    "--in-flight", type=click.IntRange(1, 64), default=4, show_default=True, help="Requests under way at a time."
)
@click.option("--overwrite", is_flag=True, help="Replace an output of a job that is done.")
@GATEWAY
@click.option(
    "--give-up-after",
    "give_up_after_s",
    type=Number(min=0),
    default=600.0,
    show_default=True,
    help="Seconds without any answer.",
)
@click.pass_obj
def score(  # noqa: PLR0913 - click's values, one for each option
    profile: Profile,
    *,
    endpoint: str,
    source: Path,
    output: Path,
    columns: dict[str, tuple[str, ...]],
    kept: tuple[str, ...],
    in_flight: int,
    overwrite: bool,
    gateway: str | None,
    give_up_after_s: float,
) -> None:
    """Score every row of a Parquet file once against ENDPOINT.

    A job that was ended, even killed, goes on with the same command. Rows without a prediction are written to
    OUTPUT.rejected.jsonl with the reason.
    """
    try:
        from rollbook.batch.files import Destination, score_file  # noqa: PLC0415 - an extra
        from rollbook.batch.scoring import Options  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise RollbookError(
            f"{error.name} is not installed, and Parquet is read with it: pip install 'rollbook[batch]'"
        ) from error
    options = Options(columns=columns, kept=kept, in_flight=in_flight, overwrite=overwrite)
    destination = Destination(
        gateway=gateway or profile.gateway_url(), endpoint=endpoint, give_up_after_s=give_up_after_s
    )
    try:
        with profile.client() as rollbook, _progress() as tell:
            summary = asyncio.run(
                score_file(rollbook, source, output, destination=destination, options=options, tell=tell)
            )
    except KeyboardInterrupt:
        click.echo("\nstopped; the same command goes on from here", err=True)
        sys.exit(_INTERRUPTED)
    except OSError as error:
        raise RollbookError(f"{error}; what is done is kept, and the same command goes on") from error
    show(profile, summary, columns=_COLUMNS)


@contextmanager
def _progress() -> Iterator[Callable[["Summary"], None]]:
    """Show how far a job is: a bar for people, a line now and then for a log."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines()
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=console,
    ) as progress:
        bar = progress.add_task("rows", total=None, rate="")
        began = time.monotonic()

        def tell(summary: "Summary") -> None:
            progress.update(
                bar,
                total=summary.rows,
                completed=summary.scored + summary.rejected,
                rate=f"{_rate(summary, began):,.0f}/s" + (f", {summary.rejected:,} rejected" * bool(summary.rejected)),
            )

        yield tell


class _Lines:
    def __init__(self) -> None:
        self._began = time.monotonic()
        self._next = self._began

    def __call__(self, summary: "Summary") -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _LINE_EVERY_S
        done = summary.scored + summary.rejected
        click.echo(
            f"{done:,} of {summary.rows:,} rows, {summary.rejected:,} rejected, {_rate(summary, self._began):,.0f}/s",
            err=True,
        )


def _rate(summary: "Summary", began: float) -> float:
    """Return the rows a second of this run."""
    done = summary.scored + summary.rejected - summary.resumed
    return done / max(time.monotonic() - began, 1e-9)
