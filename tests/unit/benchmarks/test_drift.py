"""The simulated months of drift: what is drawn directly has the moments of what it stands for."""

import numpy as np
import pytest

from benchmarks.drift.kinds import KINDS, ROWS, Kind, drawn, layout_of
from benchmarks.drift.months import DESIGNS, Part, simulate
from benchmarks.drift.power import CHANGES, hours_to_alarm
from benchmarks.drift.streams import windows
from workers.drift_watch.scores import scale_of
from workers.drift_watch.windows import merged


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_means_have_the_variance_of_rows_and_hours(kind: Kind) -> None:
    layout = layout_of(kind, reference_rows=10_000)

    means = drawn(kind, layout, np.random.default_rng(1), hours=240, months=4)

    locations = means[..., [score.kind == "location" for score in layout.scores]]
    expected = kind.design_effect / (12 * ROWS) + kind.omega**2 + kind.daily**2 / 2
    tolerance = 0.3 if kind.is_heavy else 0.1
    assert locations.var() == pytest.approx(expected, rel=tolerance)


def test_ranks_of_raw_rows_have_the_variance_of_means_drawn_directly() -> None:
    kind = Kind(name="", rows_alike=0.6)
    hours = [window["number 0"] for window in windows(1, features=1, hours=400)]
    scale = scale_of("number 0", merged(hours))

    locations = np.array([scale.means(hour)[0][0] for hour in hours])

    assert locations.var() == pytest.approx(kind.design_effect / (12 * ROWS), rel=0.2)


def test_the_same_seed_gives_the_same_months() -> None:
    part = Part(number=0, months=1, with_defaults=False)

    one, _ = simulate(KINDS[0], DESIGNS[2], part, seed=(1,))
    other, _ = simulate(KINDS[0], DESIGNS[2], part, seed=(1,))

    assert one.highest.tobytes() == other.highest.tobytes()
    assert one.alarmed == [False]


def test_larger_shifts_are_found_sooner() -> None:
    by_name = {change.name: change for change in CHANGES}

    small, large = (hours_to_alarm(by_name[f"shift by {size} sd"], runs=5, seed=1) for size in ("0.5", "1"))

    assert max(large) <= min(small)
