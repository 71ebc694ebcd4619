from itertools import accumulate

import msgspec
import numpy as np
import pytest

from tests.unit.workers.drift_watch.series import normal_hours, numbers, texts
from workers.drift_watch.errors import ReferenceRefusedError, WindowOrderError
from workers.drift_watch.evidence import threshold_of
from workers.drift_watch.reference import Features, fit_reference
from workers.drift_watch.settings import HOUR_MS, Settings
from workers.drift_watch.watch import State, fold, start
from workers.drift_watch.windows import FeatureWindow

WEEK = range(168)
LATER = range(168, 228)


def watched(windows: list[Features], reference: list[Features] | None = None) -> State:
    before = normal_hours(WEEK, seed=1) if reference is None else reference
    return list(accumulate(windows, fold, initial=start(fit_reference(before, Settings()))))[-1]


def test_traffic_like_the_reference_is_no_drift() -> None:
    state = watched(normal_hours(LATER, seed=2))

    assert state.alarm is None
    assert 0 < state.highest < threshold_of(budget=0.1, horizon_windows=720)


def test_a_shift_is_found_with_its_start_and_its_size() -> None:
    before, after = normal_hours(range(168, 188), seed=3), normal_hours(range(188, 228), seed=4, shift=0.5)

    state = watched([*before, *after])

    assert state.alarm is not None
    assert 188 <= state.alarm.started_at_ms / HOUR_MS <= 198
    (found,) = state.alarm.findings
    assert (found.feature, found.kind, found.direction) == ("amount", "location", "up")
    assert abs(found.began_at_ms / HOUR_MS - 188) <= 1
    assert found.lower < 0.138 < found.upper
    assert found.reference_rows == 168 * 200


def test_continuing_gives_the_same_as_folding_from_scratch() -> None:
    windows = normal_hours(LATER, seed=5, shift=0.2)

    whole, again = watched(windows), watched(windows)
    halfway = watched(windows[:20])
    continued = list(accumulate(windows[20:], fold, initial=halfway))[-1]

    encoded = [msgspec.json.encode((each.highest, each.alarm)) for each in (whole, again, continued)]
    assert encoded[0] == encoded[1] == encoded[2]
    assert continued.evidence.tobytes() == whole.evidence.tobytes()


def test_a_fold_leaves_the_state_before_as_it_was() -> None:
    state = watched(normal_hours(LATER, seed=5))
    kept = state.evidence.tobytes()

    fold(state, normal_hours(range(228, 229), seed=6, shift=5)[0])

    assert state.evidence.tobytes() == kept


def test_a_lost_window_changes_nothing() -> None:
    windows = normal_hours(LATER, seed=9, shift=0.1)
    empty: Features = {"amount": FeatureWindow(started_at_ms=190 * HOUR_MS)}

    without = watched([*windows[:22], *windows[23:]])
    with_empty = watched([*windows[:22], empty, *windows[23:]])

    assert with_empty.changes.likelihood.tobytes() == without.changes.likelihood.tobytes()


@pytest.mark.parametrize(
    ("at_ms", "reason"),
    [
        (227 * HOUR_MS, "does not come after the last"),
        (3 * HOUR_MS, "does not come after the last"),
        (228 * HOUR_MS + 1, "not a multiple"),
    ],
)
def test_windows_that_do_not_follow_are_refused(at_ms: int, reason: str) -> None:
    state = watched(normal_hours(LATER, seed=2))

    with pytest.raises(WindowOrderError, match=reason):
        fold(state, {"amount": FeatureWindow(started_at_ms=at_ms)})


def test_features_that_start_at_different_times_are_refused() -> None:
    with pytest.raises(WindowOrderError, match="different times"):
        watched([{"amount": numbers(np.ones(3), hour=200), "age": numbers(np.ones(3), hour=201)}])


def test_references_without_rows_or_order_are_refused() -> None:
    with pytest.raises(ReferenceRefusedError, match="no rows"):
        fit_reference([], Settings())
    with pytest.raises(ReferenceRefusedError, match="no rows"):
        fit_reference([{"amount": FeatureWindow(started_at_ms=0)}], Settings())
    with pytest.raises(ReferenceRefusedError, match="follow each other"):
        fit_reference([normal_hours(WEEK, seed=1)[0]] * 2, Settings())


def test_twenty_rows_are_too_little() -> None:
    state = watched(normal_hours(LATER, seed=2), [{"amount": numbers(np.arange(20.0))}])

    assert state.reference.scores == ()
    assert state.reference.lacking == {"amount": "the reference has 20 rows of amount, and at least 100 are needed"}
    assert (state.alarm, state.highest) == (None, 0.0)


def test_a_file_is_settled_by_the_first_windows_of_traffic() -> None:
    file: Features = {"amount": numbers(np.random.default_rng(1).normal(0, 1, 2_000))}
    hours = normal_hours(range(24), seed=2, shift=1.0)

    waiting, settled = watched(hours[:23], [file]), watched(hours, [file])

    assert (waiting.dependence, len(waiting.waiting), waiting.alarm) == (None, 23, None)
    # What was seen while it waited counts, and the highest of it is kept.
    assert settled.highest >= threshold_of(budget=0.1, horizon_windows=720)
    assert settled.alarm is not None
    assert settled.alarm.started_at_ms < 12 * HOUR_MS


def test_one_bad_column_spoils_no_other() -> None:
    rng = np.random.default_rng(1)

    def hour(at: int, shift: float = 0.0) -> Features:
        return {
            "amount": numbers(rng.normal(shift, 1, 200), hour=at),
            "constant": numbers(np.full(200, 3.0), hour=at),
            "null": FeatureWindow(started_at_ms=at * HOUR_MS, missing=200),
            "country": texts({"fr": 150, "de": 50}, hour=at),
            "rare": numbers(np.ones(1), hour=at),
        }

    reference = [hour(at) for at in WEEK]
    calm = watched([hour(at) for at in LATER], reference)
    shifted = watched([hour(at, 0.5) for at in LATER], reference)

    assert calm.alarm is None
    assert shifted.alarm is not None
    assert [each.feature for each in shifted.alarm.findings] == ["amount"]


def test_each_kind_of_damage_is_named() -> None:
    def hour(at: int, *, broken: bool = False) -> Features:
        rng = np.random.default_rng(at)
        return {
            "exploding": numbers(rng.normal(1e9 if broken else 0, 1, 200), hour=at),
            "infinite": numbers(rng.normal(0, 1, 180), hour=at, infinite=20 if broken else 0),
            "lost": numbers(rng.normal(0, 1, 190), hour=at, missing=10 if broken else 0),
            "country": texts({"xx" if broken else "fr": 120, "de": 80}, hour=at),
            "kind": texts({"a": 200}, hour=at) if broken else numbers(rng.normal(0, 1, 200), hour=at),
            "null": FeatureWindow(
                started_at_ms=at * HOUR_MS, values=0 if not broken else 200, missing=200 - 200 * broken
            ),
        }

    state = watched([hour(at, broken=True) for at in LATER], [hour(at) for at in WEEK])

    found = {each.feature: (each.kind, each.direction) for each in (state.alarm.findings if state.alarm else ())}
    assert found["infinite"] == ("outside", "up")
    assert found["lost"] == ("missing", "up")
    assert found["kind"] == ("outside", "up")
    assert found["null"] == ("missing", "down")
    assert found["exploding"][0] in {"location", "outside"}
    assert found["country"][0] in {"new", "category"}


def test_a_feature_that_one_side_lacks_is_said_to_be_so() -> None:
    windows: list[Features] = [{"age": numbers(np.ones(200), hour=at)} for at in LATER]

    state = watched(windows)

    assert state.unknown == ("age",)
    assert state.last_rows == {"age": 200}
    assert state.alarm is None


def test_a_daily_shape_is_no_drift() -> None:
    rng = np.random.default_rng(1)
    curve = 0.4 * np.sin(2 * np.pi * np.arange(24) / 24)
    hours: list[Features] = [{"amount": numbers(rng.normal(curve[at % 24], 1, 200), hour=at)} for at in range(400)]

    state = watched(hours[168:], hours[:168])

    assert state.reference.moments.profile.period == 24
    assert state.alarm is None
