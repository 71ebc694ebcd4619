import msgspec
import pytest

from tests.unit.workers.drift_watch.series import normal_hours
from workers.drift_watch.findings import Finding
from workers.drift_watch.reference import fit_reference
from workers.drift_watch.sentences import reason_of
from workers.drift_watch.settings import HOUR_MS, Settings
from workers.drift_watch.verdicts import verdict_of
from workers.drift_watch.watch import fold, start
from workers.drift_watch.windows import FeatureWindow

FINDING = Finding(
    feature="amount",
    kind="location",
    category="",
    direction="up",
    began_at_ms=0,
    effect=0.13,
    lower=0.11,
    upper=0.15,
    reference=0.5,
    allowed=0.02,
    rows=900,
    reference_rows=9_000,
    log_evidence=20.0,
)


REASONS = {
    "amount is higher than in the reference: a value of now exceeds one of then in 63.0 % of pairs "
    "(99 % interval 61.0 to 65.0 %, allowed up to 52.0 %)": {},
    "amount varies less than in the reference: its mean distance from the median, in ranks, is 40.0 % instead "
    "of 50.0 % (99 % interval 38.0 to 42.0 %, allowed down to 48.0 %)": {
        "kind": "spread",
        "direction": "down",
        "effect": -0.1,
        "lower": -0.12,
        "upper": -0.08,
    },
    "amount is missing more often than in the reference: 13.0 % of rows instead of 0.0 % "
    "(99 % interval 11.0 to 15.0 %, allowed up to 2.0 %)": {"kind": "missing", "reference": 0.0},
    'amount is "fr" more often than in the reference: 33.0 % of values instead of 20.0 % '
    "(99 % interval 31.0 to 35.0 %, allowed up to 22.0 %)": {"kind": "category", "category": "fr", "reference": 0.2},
    "amount is more often beyond the range of the reference: 13.0 % of values instead of 0.0 % "
    "(99 % interval 11.0 to 15.0 %, allowed up to 2.0 %)": {"kind": "outside", "reference": 0.0},
    "amount more often has values that the reference lacks: 13.0 % of values instead of 0.0 % "
    "(99 % interval 11.0 to 15.0 %, allowed up to 2.0 %)": {"kind": "new", "reference": 0.0},
}


@pytest.mark.parametrize(("sentence", "changed"), REASONS.items())
def test_a_finding_is_told_in_a_sentence(sentence: str, changed: dict[str, object]) -> None:
    assert reason_of(msgspec.structs.replace(FINDING, **changed)) == sentence


def test_what_is_lacking_is_said() -> None:
    state = start(fit_reference(normal_hours(range(168), seed=1), Settings()))
    folded = fold(state, normal_hours(range(168, 169), seed=2)[0])
    empty = fold(folded, {"amount": FeatureWindow(started_at_ms=169 * HOUR_MS)})

    assert verdict_of(state, now_ms=0, late_after_ms=HOUR_MS).outcome == "no_data"
    assert verdict_of(folded, now_ms=170 * HOUR_MS, late_after_ms=HOUR_MS).outcome == "no_drift"
    late = verdict_of(folded, now_ms=171 * HOUR_MS, late_after_ms=HOUR_MS)
    assert (late.outcome, late.reason) == ("late", "the last window ended 120 minutes ago")
    assert verdict_of(empty, now_ms=170 * HOUR_MS, late_after_ms=HOUR_MS).outcome == "no_data"
