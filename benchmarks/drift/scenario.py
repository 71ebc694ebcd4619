"""How often a drift monitor is wrong in a month without drift, how soon it is right, and what a window costs.

The months are drawn from a fixed seed: every run gives the same figures. In full, each kind of traffic has 1,000
months, a third of them with each reference.
"""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor

from scipy import stats

from benchmarks.drift.error_rate import labels_to_alarm
from benchmarks.drift.kinds import KINDS, ROWS, Kind
from benchmarks.drift.months import DESIGNS, MONTHS_AT_ONCE, WITH_DEFAULTS, Part, simulate
from benchmarks.drift.power import CHANGES, hours_to_alarm
from benchmarks.drift.streams import direct, raw
from benchmarks.drift.streams import windows as raw_windows
from benchmarks.figures import Figure, at_most, below, quantile
from benchmarks.simulation.many import processes
from workers.drift_watch.reference import fit_reference
from workers.drift_watch.settings import Settings
from workers.drift_watch.watch import fold, start

_MONTHS, _MONTHS_FULL = (10, 10, 10), (334, 333, 333)
_RUNS, _RUNS_FULL = 100, 1_000
_ERROR_RUNS, _ERROR_RUNS_FULL = 20, 100
_RAW, _RAW_FULL = 1, 5
_SEED = 20
_COSTED_FEATURES, _COSTED_WINDOWS = 50, 60
_ADWIN_LABELS = 872


def measure(*, full: bool) -> Iterator[list[Figure]]:
    """Simulate months without drift, then changes, and measure the cost of a window."""
    with processes() as executor:
        for kind in KINDS:
            yield _false_alarms(executor, kind, _MONTHS_FULL if full else _MONTHS)
    yield _delays(_RUNS_FULL if full else _RUNS)
    yield _error_rate(_ERROR_RUNS_FULL if full else _ERROR_RUNS)
    yield _shortcut(_RAW_FULL if full else _RAW)
    yield [_cost()]


def _false_alarms(executor: Executor, kind: Kind, months: Sequence[int]) -> list[Figure]:
    """Count months with an alarm where no change at all is allowed, and with the default bounds, which is easier."""
    names, harder, easier = [design.name for design in DESIGNS], [], []
    for at, (design, count) in enumerate(zip(DESIGNS, months, strict=True)):
        parts = [executor.submit(simulate, kind, design, part, seed=(_SEED, at)) for part in _parts(count)]
        both = [part.result() for part in parts]
        harder.append([each.alarmed for each, _ in both])
        easier.append([each.alarmed for _, each in both if each is not None])
    return [
        _alarmed(f"{kind.name}: no change allowed, alarmed", names, harder),
        _alarmed("… and with the default bounds", names, easier),
    ]


def _parts(count: int) -> Iterator[Part]:
    """Divide months into blocks; every fifth is also followed with the default bounds."""
    for number, first in enumerate(range(0, count, MONTHS_AT_ONCE)):
        yield Part(number=number, months=min(MONTHS_AT_ONCE, count - first), with_defaults=number % 5 == 0)


def _alarmed(name: str, designs: Sequence[str], flags: Sequence[Sequence[Sequence[bool]]]) -> Figure:
    by_design = [[flag for part in parts for flag in part] for parts in flags]
    alarmed, months = sum(map(sum, by_design)), sum(map(len, by_design))
    interval = stats.binomtest(alarmed, months).proportion_ci(0.95, method="exact")
    split = ", ".join(f"{design} {sum(each)} of {len(each)}" for design, each in zip(designs, by_design, strict=True))
    return Figure(
        name=name,
        value=100 * alarmed / months,
        unit="%",
        goal=at_most(100 * WITH_DEFAULTS.budget),
        note=f"{100 * interval.low:.2f} to {100 * interval.high:.2f} %; {split}",
    )


def _delays(runs: int) -> list[Figure]:
    figures = []
    for change in CHANGES:
        hours = hours_to_alarm(change, runs=runs, seed=_SEED)
        half, most = quantile(hours, 0.5), quantile(hours, 0.95)
        missed = sum(each == float("inf") for each in hours)
        note = f"p95 {most:.0f} h, {half * ROWS:,.0f} rows (p50); {missed} of {runs} not found within 30 days"
        figures.append(Figure(name=f"{change.name}: found after, p50", value=half, unit="h", note=note))
    return figures


def _error_rate(runs: int) -> list[Figure]:
    figures = []
    for budget, before in ((0.1, 5_000), (0.1, 20_000)):
        found = labels_to_alarm(allowed=0.0, budget=budget, before=before, runs=runs, seed=_SEED)
        note = (
            f"p90 {quantile(found.labels, 0.9):,.0f}; {found.false_alarms} of {runs} alarms in 5,000 labels before; "
            "ADWIN 872, PageHinkley 926"
        )
        name = f"errors 10 to 15 %, {before:,} labels before, budget {budget}"
        figures.append(
            Figure(name=name, value=quantile(found.labels, 0.5), unit="labels", goal=below(_ADWIN_LABELS), note=note)
        )
    return figures


def _shortcut(months: int) -> list[Figure]:
    """Show that raw rows and directly drawn means behave alike."""
    by_rows, by_means = raw(months=months, seed=_SEED), direct(months=25, seed=_SEED)
    return [
        Figure(name="design effect of AR(1) 0.6 rows, from raw rows", value=by_rows.design_effect, unit=""),
        Figure(name="… from means drawn directly", value=by_means.design_effect, unit=""),
        Figure(name="highest log evidence, raw rows, p50", value=quantile(by_rows.highest, 0.5), unit="nats"),
        Figure(name="… means drawn directly, p50", value=quantile(by_means.highest, 0.5), unit="nats"),
    ]


def _cost() -> Figure:
    windows = list(raw_windows(_SEED, features=_COSTED_FEATURES, hours=2 * _COSTED_WINDOWS))
    state = start(fit_reference(windows[:_COSTED_WINDOWS], Settings()))
    took = []
    for window in windows[_COSTED_WINDOWS:]:
        began = time.perf_counter()
        state = fold(state, window)
        took.append(1000 * (time.perf_counter() - began))
    note = f"p95 {quantile(took, 0.95):.1f} ms"
    return Figure(
        name="one window of 50 numeric features, p50", value=quantile(took, 0.5), unit="ms", goal=below(10), note=note
    )
