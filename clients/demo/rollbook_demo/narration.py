"""What the demo shows while it runs: a live view in a terminal, plain lines when piped."""

import time
from contextlib import AbstractContextManager
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rollbook.resources import Endpoint
from rollbook_demo.load import Progress


class Narrator(AbstractContextManager["Narrator"], Protocol):
    """Tells the story to a person."""

    def act(self, title: str) -> None:
        """Begin a part of the story."""

    def say(self, line: str) -> None:
        """Tell one fact."""

    def traffic(self, endpoint: Endpoint, progress: Progress) -> None:
        """Show the traffic as it is now."""


class TrafficTable:
    """Weights, rates and accuracy per version, from two readings of the counters."""

    def __init__(self) -> None:
        """Start without a reading."""
        self._before: tuple[float, dict[str, list[int]]] = (time.monotonic(), {})
        self._rates: dict[str, tuple[float, float]] = {}

    def rows(self, endpoint: Endpoint, progress: Progress) -> list[tuple[str, float, float, float]]:
        """Return (version, weight %, requests/s, accuracy %) for each deployment."""
        self._measure(progress)
        weights = {share.deployment_id: share.weight_percent for share in endpoint.allocations}
        return [
            (one.version, weights.get(one.id, 0.0), *self._rates.get(one.version, (0.0, 0.0)))
            for one in endpoint.deployments
        ]

    def _measure(self, progress: Progress) -> None:
        now = time.monotonic()
        at, before = self._before
        if now - at < 1.0:
            return
        for version, (answered, correct) in progress.by_version.items():
            earlier_answered, earlier_correct = before.get(version, (0, 0))
            fresh = answered - earlier_answered
            accuracy = 100 * (correct - earlier_correct) / fresh if fresh else 0.0
            self._rates[version] = (fresh / (now - at), accuracy)
        self._before = (now, {version: list(counts) for version, counts in progress.by_version.items()})


class PlainNarrator(Narrator):
    """One line a fact, for pipes and logs."""

    def __init__(self, console: Console) -> None:
        """Print to a console."""
        self._console = console
        self._table = TrafficTable()
        self._last = ""

    def __exit__(self, *_: object) -> None:
        """Nothing is to be cleared."""

    def act(self, title: str) -> None:
        """Print the title as a line of its own."""
        self._console.print(f"\n== {title}", highlight=False, markup=False)

    def say(self, line: str) -> None:
        """Print the line."""
        self._console.print(f"   {line}", highlight=False, markup=False, soft_wrap=True)

    def traffic(self, endpoint: Endpoint, progress: Progress) -> None:
        """Print the weights when they changed."""
        rows = self._table.rows(endpoint, progress)
        split = ", ".join(f"{version} {weight:g} %" for version, weight, _, _ in rows)
        if split != self._last:
            self._last = split
            self.say(f"traffic: {split} | {progress.answered:,} answered, {failures(progress)}")


def failures(progress: Progress) -> str:
    """Return how many failed and, if any did, in which way."""
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(progress.failures.items()))
    return f"{progress.failed} failed" + (f" ({kinds})" if kinds else "")


class LiveNarrator(Narrator):
    """The same facts above a table that is redrawn in place."""

    def __init__(self, console: Console) -> None:
        """Draw on a terminal."""
        self._console = console
        self._table = TrafficTable()
        self._live = Live(console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        """Start to draw."""
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Clear the table."""
        self._live.stop()

    def act(self, title: str) -> None:
        """Print the title above the table."""
        self._console.print(Text(f"\n{title}", style="bold cyan"))

    def say(self, line: str) -> None:
        """Print the line above the table."""
        self._console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)

    def traffic(self, endpoint: Endpoint, progress: Progress) -> None:
        """Redraw the table."""
        self._live.update(self._draw(endpoint, progress))

    def _draw(self, endpoint: Endpoint, progress: Progress) -> RenderableType:
        table = Table(box=None, header_style="dim")
        for heading in ("version", "weight", "", "requests/s", "accuracy"):
            table.add_column(heading, justify="left" if heading in {"version", ""} else "right")
        for version, weight, rate, accuracy in self._table.rows(endpoint, progress):
            bar = "█" * round(weight / 2.5)
            table.add_row(version, f"{weight:g} %", Text(bar, style="cyan"), f"{rate:.0f}", f"{accuracy:.1f} %")
        summary = f"  {progress.answered:,} answered, {failures(progress)}, {progress.labels_posted:,} labels posted"
        return Group(table, Text(summary, style="dim"))


def narrator_for(console: Console) -> Narrator:
    """Return the live view for a terminal, plain lines otherwise."""
    return LiveNarrator(console) if console.is_terminal else PlainNarrator(console)
