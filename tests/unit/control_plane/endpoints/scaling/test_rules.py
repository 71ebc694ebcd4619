"""The laws of the scaling policy, whatever is measured."""

import itertools
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control_plane.endpoints.scaling.replay import replay
from control_plane.endpoints.scaling.rules import Situation, judge
from schemas.scaling import Load, LoadMeasurement, LoadSample, ScalingPolicy

POLICY = ScalingPolicy(
    min_replicas=1, max_replicas=5, in_flight=4.0, cool_down_ms=3_000, stabilisation_window_ms=10_000
)
SLEEPER = ScalingPolicy(
    min_replicas=0, max_replicas=3, in_flight=4.0, stabilisation_window_ms=5_000, idle_before_zero_ms=20_000
)

policies = st.builds(
    ScalingPolicy,
    min_replicas=st.integers(0, 3),
    max_replicas=st.integers(3, 8),
    in_flight=st.floats(0.5, 10),
    latency_ms=st.none() | st.floats(1, 100),
    tolerance=st.floats(0, 1),
    cool_down_ms=st.integers(0, 5_000),
    stabilisation_window_ms=st.integers(0, 20_000),
    idle_before_zero_ms=st.integers(0, 20_000),
)
loads = st.builds(Load, in_flight=st.none() | st.floats(0, 1e12), latency_ms=st.none() | st.floats(0, 1e12))
looks = st.tuples(st.integers(1, 3_000), loads, st.booleans(), st.booleans())


def samples(steps: list[tuple[int, Load, bool, bool]]) -> list[LoadSample]:
    found, at_ms = [], 1_000_000
    for pause_ms, load, is_busy, is_complete in steps:
        at_ms += pause_ms
        found.append(LoadSample(at_ms=at_ms, ready=1, load=load, is_busy=is_busy, is_complete=is_complete))
    return found


def measured(in_flight: float, **more: object) -> LoadMeasurement:
    fields = {
        "scaling_version": 1,
        "measured_at_ms": 0,
        "ready": 1,
        "now": Load(in_flight=in_flight),
        "highest": Load(in_flight=in_flight),
        "watched_ms": 60_000,
        "idle_ms": 0,
        "is_complete": True,
    }
    return LoadMeasurement(**{**fields, **more})  # type: ignore[arg-type]


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(policies, st.integers(0, 8), st.lists(looks, max_size=60))
def test_replicas_are_never_outside_the_bounds(
    policy: ScalingPolicy, start: int, steps: list[tuple[int, Load, bool, bool]]
) -> None:
    answer = replay(policy, samples(steps), replicas=start)

    for change in answer.changes:
        assert policy.min_replicas <= change.to_replicas <= policy.max_replicas


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(policies, st.lists(looks, max_size=80))
def test_replicas_never_shrink_within_the_window_after_a_change(
    policy: ScalingPolicy, steps: list[tuple[int, Load, bool, bool]]
) -> None:
    changes = replay(policy, samples(steps), replicas=max(1, policy.min_replicas)).changes

    for before, after in itertools.pairwise(changes):
        if after.to_replicas < after.from_replicas:
            assert after.at_ms - before.at_ms >= policy.stabilisation_window_ms


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(policies, st.lists(looks, max_size=60))
def test_a_replay_repeats_itself(policy: ScalingPolicy, steps: list[tuple[int, Load, bool, bool]]) -> None:
    assert replay(policy, samples(steps), replicas=1) == replay(policy, samples(steps), replicas=1)


def test_a_load_above_the_target_adds_as_many_as_it_takes() -> None:
    verdict = judge(POLICY, measured(11.0), Situation(replicas=1, changed_at_ms=0), now_ms=60_000)

    assert (verdict.replicas, verdict.code) == (3, "load-rose")
    assert "in_flight is 11, the target for one replica is 4" in verdict.reason


def test_a_rise_waits_for_the_cool_down() -> None:
    verdict = judge(POLICY, measured(11.0), Situation(replicas=1, changed_at_ms=58_000), now_ms=60_000)

    assert (verdict.replicas, verdict.code) == (1, "cooling-down")


def test_a_fall_asks_for_a_watch_without_a_gap() -> None:
    short = measured(1.0, watched_ms=9_000)

    verdict = judge(POLICY, short, Situation(replicas=3, changed_at_ms=0), now_ms=60_000)

    assert (verdict.replicas, verdict.code) == (3, "watched-too-short")


def test_a_fall_keeps_what_the_highest_load_of_the_window_needs() -> None:
    falling = measured(1.0, highest=Load(in_flight=7.0), ready=3)

    verdict = judge(POLICY, falling, Situation(replicas=3, changed_at_ms=0), now_ms=60_000)

    assert (verdict.replicas, verdict.code) == (2, "load-fell")


def test_a_rollout_keeps_its_replicas() -> None:
    verdict = judge(
        SLEEPER, measured(0.0, idle_ms=90_000), Situation(replicas=1, changed_at_ms=0, floor=1), now_ms=60_000
    )

    assert (verdict.replicas, verdict.code) == (1, "kept-for-rollout")


@pytest.mark.parametrize("kept_as", ["kept-as-shadow", "kept-as-backup"])
def test_one_that_nobody_would_wake_in_time_stays_awake(kept_as: Literal["kept-as-shadow", "kept-as-backup"]) -> None:
    idle = measured(0.0, idle_ms=90_000)
    awake = judge(SLEEPER, idle, Situation(replicas=1, changed_at_ms=0, kept_as=kept_as), now_ms=60_000)
    asleep = judge(SLEEPER, idle, Situation(replicas=0, changed_at_ms=0, kept_as=kept_as), now_ms=60_000)

    assert (awake.replicas, awake.code) == (1, kept_as)
    assert (asleep.replicas, asleep.code) == (1, "woken")


def test_instances_in_other_regions_do_not_drive_replicas_up() -> None:
    policy = ScalingPolicy(max_replicas=5, latency_ms=100.0)
    steady = measured(0.0, now=Load(latency_ms=100.0), highest=Load(latency_ms=100.0), ready=4)

    verdict = judge(policy, steady, Situation(replicas=2, changed_at_ms=0), now_ms=60_000)

    assert (verdict.replicas, verdict.code) == (2, "load-fits")


def test_it_sleeps_once_nobody_asked_for_long_enough() -> None:
    awake = judge(SLEEPER, measured(0.0, idle_ms=19_000), Situation(replicas=1, changed_at_ms=0), now_ms=60_000)
    asleep = judge(SLEEPER, measured(0.0, idle_ms=20_000), Situation(replicas=1, changed_at_ms=0), now_ms=60_000)

    assert (awake.replicas, awake.code) == (1, "not-idle-long-enough")
    assert (asleep.replicas, asleep.code) == (0, "idle")


def test_a_held_request_wakes_it() -> None:
    verdict = judge(SLEEPER, measured(1.0, ready=0), Situation(replicas=0, changed_at_ms=59_999), now_ms=60_000)

    assert (verdict.replicas, verdict.code) == (1, "woken")


def test_nothing_known_changes_nothing() -> None:
    blind = measured(0.0, now=Load(), highest=Load(), is_complete=False)

    verdict = judge(POLICY, blind, Situation(replicas=3, changed_at_ms=0), now_ms=60_000)

    assert (verdict.replicas, verdict.code) == (3, "load-unknown")
