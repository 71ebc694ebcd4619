"""The sentences of a monitor."""

from typing import Any

import pytest

from control_plane.monitors.reasons import drifted
from tests.unit.control_plane.monitors.test_monitor import finding


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"direction": "down", "effect": -0.13, "lower": -0.15, "upper": -0.11},
            (
                "input.amount is lower than in the reference: a value of now exceeds one of then in 37.0 % of pairs "
                "(99 % interval 35.0 to 39.0 %, allowed down to 48.0 %)."
            ),
        ),
        (
            {"kind": "spread"},
            (
                "input.amount varies more than in the reference: its mean distance from the median, in ranks, is "
                "63.0 % instead of 50.0 % (99 % interval 61.0 to 65.0 %, allowed up to 52.0 %)."
            ),
        ),
        (
            {"kind": "missing", "reference": 0.01, "effect": 0.04, "lower": 0.03, "upper": 0.05, "allowed": 0.01},
            (
                "input.amount is missing more often than in the reference: 5.0 % of rows instead of 1.0 % "
                "(99 % interval 4.0 to 6.0 %, allowed up to 2.0 %)."
            ),
        ),
        (
            {"kind": "category", "category": "DE", "direction": "down", "reference": 0.5, "effect": -0.2}
            | {"lower": -0.22, "upper": -0.18, "allowed": 0.01},
            (
                'input.amount is "DE" less often than in the reference: 30.0 % of values instead of 50.0 % '
                "(99 % interval 28.0 to 32.0 %, allowed down to 49.0 %)."
            ),
        ),
        (
            {"kind": "new", "reference": 0.0, "effect": 0.1, "lower": 0.08, "upper": 0.12, "allowed": 0.01},
            (
                "input.amount has values that the reference lacks: 10.0 % of values "
                "instead of 0.0 % (99 % interval 8.0 to 12.0 %, allowed up to 1.0 %)."
            ),
        ),
        (
            {"kind": "outside", "reference": 0.0, "effect": 0.1, "lower": 0.08, "upper": 0.12, "allowed": 0.01},
            (
                "input.amount is outside the reference's range more often: 10.0 % of values "
                "instead of 0.0 % (99 % interval 8.0 to 12.0 %, allowed up to 1.0 %)."
            ),
        ),
    ],
)
def test_a_finding_is_said_in_one_sentence(changes: dict[str, Any], sentence: str) -> None:
    assert drifted((finding(**changes),)) == sentence


def test_further_features_are_counted() -> None:
    three = (finding(), finding("input.age"), finding("input.city"))

    assert drifted(three).endswith("; 2 more features have changed.")
