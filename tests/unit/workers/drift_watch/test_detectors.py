import numpy as np
import pytest

from schemas.events.monitors import Bounds
from tests.unit.workers.drift_watch.series import normal_hours
from workers.drift_watch.detectors.base import Detector
from workers.drift_watch.detectors.concept_drift import LabelledWindow, concept_drift
from workers.drift_watch.detectors.degradation import ServiceWindow, Tally, degradation
from workers.drift_watch.detectors.input_drift import input_drift
from workers.drift_watch.detectors.label_shift import LabelWindow, label_shift
from workers.drift_watch.detectors.prediction_drift import prediction_drift
from workers.drift_watch.errors import DriftWatchError, WindowRefusedError
from workers.drift_watch.reference import Features
from workers.drift_watch.settings import HOUR_MS, Settings
from workers.drift_watch.watch import State

WEEK, LATER = range(168), range(168, 268)


def labelled(hours: range, *, wrong: float, seed: int) -> list[LabelledWindow]:
    counts = np.random.default_rng(seed).binomial(100, wrong, len(hours))
    return [
        LabelledWindow(started_at_ms=hour * HOUR_MS, labelled=100, wrong=int(count))
        for hour, count in zip(hours, counts, strict=True)
    ]


def found(state: State) -> list[tuple[str, str, str]]:
    return [(each.feature, each.category, each.direction) for each in (state.alarm.findings if state.alarm else ())]


def test_more_wrong_predictions_are_concept_drift_and_fewer_are_not() -> None:
    detector: Detector[LabelledWindow] = concept_drift()
    worse = better = detector.begin(labelled(WEEK, wrong=0.1, seed=1))

    for window in labelled(LATER, wrong=0.16, seed=2):
        worse = detector.next(worse, window)
    for window in labelled(LATER, wrong=0.04, seed=3):
        better = detector.next(better, window)

    assert found(worse) == [("prediction", "wrong", "up")]
    assert found(better) == []


def test_other_labels_are_a_label_shift() -> None:
    detector: Detector[LabelWindow] = label_shift()

    def window(hour: int, cats: int) -> LabelWindow:
        return LabelWindow(started_at_ms=hour * HOUR_MS, labels={"cat": cats, "dog": 100 - cats})

    state = detector.begin([window(hour, 40 + hour % 3) for hour in WEEK])
    for hour in LATER:
        state = detector.next(state, window(hour, 55))

    assert state.alarm is not None
    assert state.alarm.findings[0].feature == "label"


def test_a_version_degrades_where_its_own_baseline_did_better() -> None:
    detector: Detector[ServiceWindow] = degradation()
    rng = np.random.default_rng(1)

    def window(hour: int, slow: float) -> ServiceWindow:
        tallies = {
            "errors": Tally(answers=500, bad=int(rng.binomial(500, 0.002))),
            "slow": Tally(answers=500, bad=int(rng.binomial(500, slow))),
        }
        return ServiceWindow(started_at_ms=hour * HOUR_MS, tallies=tallies)

    state = detector.begin([window(hour, 0.05) for hour in WEEK])
    for hour in LATER:
        state = detector.next(state, window(hour, 0.09))

    assert found(state) == [("slow", "bad", "up")]


@pytest.mark.parametrize("detector", [input_drift(), prediction_drift()])
def test_features_and_outputs_are_watched_alike(detector: Detector[Features]) -> None:
    state = detector.begin(normal_hours(WEEK, seed=1))
    for window in normal_hours(range(168, 188), seed=2, shift=1.0):
        state = detector.next(state, window)

    assert found(state) == [("amount", "", "up")]


def test_settings_that_promise_nothing_are_refused() -> None:
    with pytest.raises(DriftWatchError, match="rise of"):
        concept_drift(Settings())
    with pytest.raises(DriftWatchError, match="rise of"):
        degradation(Settings())
    with pytest.raises(DriftWatchError, match="probability"):
        Settings(budget=0)
    with pytest.raises(DriftWatchError, match="at least 1"):
        Settings(horizon_windows=0)
    with pytest.raises(DriftWatchError, match="fewer than"):
        Settings(settling_windows=2)
    with pytest.raises(DriftWatchError, match="below 1"):
        Settings(bounds=Bounds(location=1.0))


def test_more_wrong_than_labelled_predictions_are_refused() -> None:
    with pytest.raises(WindowRefusedError):
        concept_drift().begin([LabelledWindow(started_at_ms=0, labelled=1, wrong=2)])
