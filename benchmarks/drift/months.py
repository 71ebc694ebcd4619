"""Many months at once through the monitor's own arithmetic: each month is a block of columns."""

from functools import cache

import msgspec
import numpy as np
import numpy.typing as npt

from benchmarks.drift.kinds import ROWS, WINDOWS, Kind, Layout, drawn, layout_of, reference_of_file
from schemas.events.monitors import Bounds
from workers.drift_watch.evidence import DIRECTIONS, EFFECTS, Bets, grown, nulls_of, threshold_of, weighted
from workers.drift_watch.moments import Moments, Windows, allowed_of, fit_around_own_mean, fit_moments
from workers.drift_watch.reference import weights_of
from workers.drift_watch.scores import Floats, Score
from workers.drift_watch.settings import HOUR_MS, Settings

MONTHS_AT_ONCE = 20
_VARIANCE = 1 / 12
WITH_DEFAULTS = Settings()
NO_CHANGE_IS_ALLOWED = Settings(bounds=Bounds(location=0, spread=0, outside=0, missing=0, category=0, new=0))


class Design(msgspec.Struct, frozen=True, kw_only=True):
    """What a monitor compares with: days of windows, or the rows of a file."""

    days: int = 0
    rows: int = 0

    @property
    def name(self) -> str:
        """Say what it is."""
        return f"{self.days} days" if self.days else f"{self.rows:,} rows"


DESIGNS = (Design(days=7), Design(days=14), Design(rows=2_000))


class Months(msgspec.Struct, frozen=True, eq=False):
    """Of each month the window of its alarm, or -1, and the highest M within the month."""

    alarmed_in: npt.NDArray[np.int64]
    highest: Floats

    @property
    def alarmed(self) -> list[bool]:
        """Return of each month whether it had an alarm."""
        return [bool(each >= 0) for each in self.alarmed_in]


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Some months of a simulation, drawn from their number; `with_defaults` follows them a second time."""

    number: int
    months: int
    with_defaults: bool


def simulate(kind: Kind, design: Design, part: Part, *, seed: tuple[int, ...]) -> tuple[Months, Months | None]:
    """Let months pass without any change, where none is allowed, and with the default bounds."""
    layout = layout_of(kind, reference_rows=design.rows or design.days * 24 * ROWS)
    rng = np.random.default_rng([*seed, part.number])
    before = design.days * 24
    hours = drawn(kind, layout, rng, hours=before + WINDOWS, months=part.months)
    reference = hours[:before] if before else reference_of_file(layout, rng, rows=design.rows, months=part.months)
    block = Block(layout, design, reference, hours[before:])
    return block.follow(NO_CHANGE_IS_ALLOWED), block.follow(WITH_DEFAULTS) if part.with_defaults else None


class Block:
    """Months that pass together: means of shape (windows, months, scores) of the reference and after it."""

    def __init__(self, layout: Layout, design: Design, reference: Floats, live: Floats) -> None:
        self._layout = layout
        self._hours_before = design.days * 24
        self._live = live
        self._months, self._scores = live.shape[1:]
        self._columns = [
            Score(f"{month} {score.feature}", score.kind, score.category)
            for month in range(self._months)
            for score in layout.scores
        ]
        means = reference.reshape(len(reference), -1)
        windows = _windows(means, np.full(means.shape, float(design.rows or ROWS)))
        variances = np.tile(np.where(layout.is_share, 0.0, _VARIANCE), self._months)
        self._moments = fit_moments(windows, self._columns, variances, window_ms=HOUR_MS)
        self._independent = self._independent_rows()

    @property
    def moments(self) -> Moments:
        """Return what was fitted to the reference; its columns are the scores of one month after the other."""
        return self._moments

    def follow(self, settings: Settings) -> Months:
        """Follow all months to their ends."""
        moments, hour_before = self._moments, self._hours_before
        allowed = np.tile(allowed_of(self._layout.scores, settings.bounds), self._months)
        features = len({score.feature for score in self._layout.scores})
        share = features / self._layout.features_of_model
        weights = share * weights_of(self._layout.scores, directions=len(DIRECTIONS))
        threshold = threshold_of(budget=settings.budget, horizon_windows=settings.horizon_windows)

        @cache
        def bets_at(hour: int) -> Bets:
            limits = self._layout.scores_of_model * len(DIRECTIONS)
            wide = moments.limits_at(hour * HOUR_MS, allowed, budget=settings.budget, limits=limits)
            return nulls_of(wide, moments.variances, moments.is_share).bets(self._independent)

        evidence = np.zeros((self._months * self._scores, len(DIRECTIONS), len(EFFECTS)))
        alarmed_in, highest = np.full(self._months, -1), np.zeros(self._months)
        for window, means in enumerate(self._live.reshape(len(self._live), -1)):
            bets = bets_at((hour_before + window) % moments.profile.period)
            evidence = grown(evidence, bets.ratios(means))
            by_month = evidence.reshape(self._months, self._scores, len(DIRECTIONS), len(EFFECTS))
            highest = np.maximum(highest, weighted(by_month, weights).sum(axis=-1))
            alarmed_in = np.where((alarmed_in < 0) & (highest >= threshold), window, alarmed_in)
        return Months(alarmed_in, highest)

    def _independent_rows(self) -> Floats:
        dependence = self._moments.dependence
        if dependence is None:
            first = self._live[: WITH_DEFAULTS.settling_windows].reshape(WITH_DEFAULTS.settling_windows, -1)
            windows = _windows(first, np.full(first.shape, float(ROWS)))
            dependence = fit_around_own_mean(self._moments, windows, self._columns, HOUR_MS)
        rows = np.full(self._months * self._scores, float(ROWS))
        return rows / dependence.rows_per_independent(rows)


def _windows(means: Floats, rows: Floats) -> Windows:
    return Windows([hour * HOUR_MS for hour in range(len(means))], means, rows)
