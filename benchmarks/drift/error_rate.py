"""How soon a rise of the error rate is found, by the detector itself, beside what others need.

Of the labels 10 % are wrong, then 15 %. River's ADWIN needs 872 labels (median of
20 seeds, with its defaults, no false alarm in 5,000 labels), PageHinkley 926, DDM 876, HDDM_A 1,694.
"""

import msgspec
import numpy as np

from schemas.events.monitors import Bounds
from workers.drift_watch.detectors.concept_drift import DEFAULT_SETTINGS, LabelledWindow, concept_drift
from workers.drift_watch.settings import HOUR_MS

LABELS = 20
_CLEAN = 5_000 // LABELS
_AFTER = 5_000 // LABELS
_RATES = (0.10, 0.15)


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """Labels from the change to the alarm of each run; infinite if there was none. Runs with an alarm before it."""

    labels: list[float]
    false_alarms: int


def labels_to_alarm(*, allowed: float, budget: float, before: int, runs: int, seed: int) -> Found:
    """Watch 5,000 labels after those of a reference, then the change, with a budget for the 5,000."""
    settings = msgspec.structs.replace(
        DEFAULT_SETTINGS, horizon_windows=_CLEAN, bounds=Bounds(category=allowed), budget=budget
    )
    detector, rng = concept_drift(settings), np.random.default_rng(seed)
    first = before // LABELS
    labels: list[float] = []
    false_alarms = 0
    for _ in range(runs):
        wrong = rng.binomial(LABELS, np.repeat([_RATES[0], _RATES[1]], [first + _CLEAN, _AFTER]))
        windows = [
            LabelledWindow(started_at_ms=at * HOUR_MS, labelled=LABELS, wrong=int(each))
            for at, each in enumerate(wrong)
        ]
        state, found = detector.begin(windows[:first]), float("inf")
        for at, window in enumerate(windows[first:]):
            state = detector.next(state, window)
            if state.alarm is not None:
                found = float((at + 1 - _CLEAN) * LABELS)
                break
        false_alarms += found <= 0
        labels += [found] if found > 0 else []
    return Found(labels=labels, false_alarms=false_alarms)
