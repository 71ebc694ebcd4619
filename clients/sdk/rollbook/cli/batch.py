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
    """Score many rows, at lower priority than live callers."""


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
    help="Read rows from this Parquet file.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="Write predictions to this Parquet file.",
)
@click.option(
    "--column",
    "columns",
    metavar="TENSOR=A,B,…",
    multiple=True,
    callback=_read_columns,
    help="Map columns to a model input; defaults to the column of that name, or all columns not kept.",
)
@click.option(
    "--keep",
    "kept",
    metavar="COLUMN",
    multiple=True,
    help="Copy this column to the output without sending it to the model.",
)
@click.option(
    "--in-flight",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    help="Limit the number of concurrent requests.",
)
@click.option("--overwrite", is_flag=True, help="Overwrite the output of a finished job.")
@GATEWAY
@click.option(
    "--give-up-after",
    "give_up_after_s",
    type=Number(min=0),
    default=600.0,
    show_default=True,
    help="Give up after this many seconds without an answer.",
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

    Run the same command again to resume a job that was stopped or killed. Rows without a prediction are written
    with the reason to a file beside OUTPUT: scored.rejected.jsonl for scored.parquet.
    """
    try:
        from rollbook.batch.files import Destination, score_file  # noqa: PLC0415 - an extra
        from rollbook.batch.scoring import Options  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise RollbookError(
            f"{error.name} is not installed, but it is needed to read Parquet: pip install 'rollbook[batch]'"
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
        click.echo("\nstopped; run the same command again to resume", err=True)
        sys.exit(_INTERRUPTED)
    except OSError as error:
        raise RollbookError(f"{error}; finished rows are kept, run the same command again to resume") from error
    show(profile, summary, columns=_COLUMNS)


@contextmanager
def _progress() -> Iterator[Callable[["Summary"], None]]:
    """Show a job's progress: a bar on a terminal, otherwise a line now and then."""
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
    """Return this run's rows per second."""
    done = summary.scored + summary.rejected - summary.resumed
    return done / max(time.monotonic() - began, 1e-9)
