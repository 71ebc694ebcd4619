"""Parts of the simulation of rollouts: it repeats itself, and leaves out no look at which the product would decide."""

import numpy as np
import pytest

from benchmarks.simulation.kinds import BUSY, CLUSTERED, UNCHANGED, Kind
from benchmarks.simulation.many import share_between
from benchmarks.simulation.peers import (
    OF_NO_CHANGE,
    Rule,
    Seen,
    calibrated,
    difference_after_the_first_minute,
    difference_since_the_step_began,
    seen_by_minute,
    share_of_last_minute,
    stopped,
    z_score_at_the_end,
)
from benchmarks.simulation.product import run
from benchmarks.simulation.traffic import BASELINE, CANDIDATE, NAMES, Rollout

MINUTES = (2, 1, 1)
each_rule = pytest.mark.parametrize("rule", OF_NO_CHANGE.values(), ids=OF_NO_CHANGE)


def rollout(kind: Kind, number: int = 0) -> Rollout:
    return Rollout(kind, seed=17, number=number)


def seen(*errors: tuple[int, int], requests: int = 100) -> Seen:
    """Make the failed requests of one rollout, of both arms by minute; all else is good, and no baseline bakes."""
    counts = np.zeros((1, sum(MINUTES), 4, 2, 2), np.int64)
    counts[0, :, :, :, 0] = requests * np.array([1, 2, 1, 1])[:, None, None]
    counts[0, :, 0, :, 1] = errors
    counts[0, -1, :, BASELINE] = 0
    return Seen(counts, MINUTES)


def test_a_rollout_is_the_same_whenever_it_is_simulated() -> None:
    assert run(rollout(BUSY.unchanged)) == run(rollout(BUSY.unchanged))
    assert run(rollout(BUSY.unchanged)) != run(rollout(BUSY.unchanged, number=1))


@pytest.mark.parametrize("kind", [BUSY.bad[0], BUSY.bad[2], CLUSTERED[4], UNCHANGED[1]], ids=lambda kind: kind.name)
def test_looks_that_are_left_out_decide_nothing(kind: Kind) -> None:
    assert run(rollout(kind)) == run(rollout(kind), asks_always=True)


def test_traffic_does_not_depend_on_how_far_it_was_drawn_at_once() -> None:
    at_once, bit_by_bit = (rollout(BUSY.unchanged).step(1, weight=0.25) for _ in range(2))
    at_once.reach(400)
    for looks in range(1, 401):
        bit_by_bit.reach(looks)

    assert all((at_once.counts[name] == bit_by_bit.counts[name]).all() for name in NAMES)


def test_counts_of_both_arms_fit_together() -> None:
    traffic = rollout(BUSY.bad[0]).step(1, weight=0.25)
    traffic.reach(300)

    for arm in (traffic.arm(CANDIDATE, 300), traffic.arm(BASELINE, 300)):
        assert arm.errors + arm.refused + arm.labelled <= arm.requests
        assert 0 < arm.wrong < arm.labelled
        assert 0 < arm.slow < arm.requests
    assert traffic.arm(CANDIDATE, 29).labelled == 0, "labels come half a minute later"


@pytest.mark.parametrize(
    ("count", "total", "lower", "upper"), [(0, 100, 0.0, 0.0362), (10, 100, 0.0490, 0.1762), (5, 5, 0.4782, 1.0)]
)
def test_the_interval_of_a_share_is_that_of_clopper_and_pearson(
    count: int, total: int, lower: float, upper: float
) -> None:
    found = share_between(count, total)

    assert (found.lower, found.upper) == pytest.approx((lower, upper), abs=5e-5)


def test_the_last_minute_starts_anew_with_each_step() -> None:
    shares = share_of_last_minute(seen((1, 0), (5, 0), (2, 0), (3, 0)))

    assert shares[0, :3, 0].tolist() == [0.01, 0.04, 0.02]


def test_a_difference_is_that_of_the_whole_step() -> None:
    counted = seen((1, 0), (4, 2), (2, 1), (3, 0))

    assert difference_since_the_step_began(counted)[0, :3, 0].tolist() == pytest.approx([0.01, 0.01, 0.01])
    assert np.isneginf(difference_after_the_first_minute(counted)[0, :3, 0]).tolist() == [True, False, True]


def test_a_z_test_is_made_at_the_ends_of_steps_alone() -> None:
    scores = z_score_at_the_end(seen((9, 0), (9, 1), (2, 2), (3, 0)), margin=0.0)

    assert np.isneginf(scores[0, :3, 0]).tolist() == [True, False, False]
    # 8 / 201 over the root of the sum of p (1 - p) / 200, with p = 9.5 / 201 and 1.5 / 201.
    assert scores[0, 1, 0] == pytest.approx(2.458, abs=1e-3)


@each_rule
def test_no_rule_looks_while_a_promoted_candidate_bakes(rule: Rule) -> None:
    assert np.isneginf(rule(seen((1, 0), (4, 2), (2, 1), (3, 0)))[0, -1]).all()


@each_rule
@pytest.mark.parametrize("aborts", [0, 1, 6])
def test_a_calibrated_rule_aborts_about_as_many_as_it_may(rule: Rule, aborts: int) -> None:
    minutes = (2, 1, 1, 1)
    several = Seen(
        np.array([seen_by_minute(rollout(BUSY.unchanged, number), minutes) for number in range(24)]), minutes
    )

    aborted = stopped(rule, several, calibrated(rule, several, aborts=aborts)).is_stopped.sum()

    # The four candidates that look worst in one metric each are aborted together.
    assert max(0, aborts - 3) <= aborted <= aborts


def test_what_was_answered_is_counted_up_to_the_minute_that_stops_the_candidate() -> None:
    one = seen((0, 0), (9, 0), (9, 0), (0, 0))

    late, never = (stopped(difference_since_the_step_began, one, np.full(4, threshold)) for threshold in (0.05, 0.5))

    assert (late.answered.tolist(), late.is_stopped.tolist()) == ([300], [True])
    assert (never.answered.tolist(), never.is_stopped.tolist()) == ([400], [False])
