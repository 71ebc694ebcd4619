"""Nobody watches a paused rollout, and nothing stands beside one promoted at once: what is judged, and said."""

import pytest

from control_plane.rollouts.commands import JudgeStep, PromoteRollout
from control_plane.rollouts.resources import ROLLOUTS
from schemas.events.rollouts import RolloutAborted, RolloutCompleted, StepJudged
from tests.support.builders import HEALTHY, gate_counts, measurement, rollout_started
from tests.support.spec import Given
from tests.unit.control_plane.rollouts.phases import STEP_0, WARMED, decided, given

BROKEN = (gate_counts("error_rate", (400, 1_000), (1, 9_000)), *HEALTHY[1:])
ALONE = tuple(gate_counts(each.gate, (each.candidate.trials, each.candidate.trials), (0, 0)) for each in HEALTHY)


@pytest.mark.parametrize("freshness", ["fresh", "late"])
def test_a_candidate_that_fails_while_the_rollout_is_paused_is_aborted(freshness: str) -> None:
    look = JudgeStep(measurement=measurement(counts=BROKEN, freshness=freshness))

    judged, aborted = given("paused").when(lambda state: decided(state, look)).then_events()

    assert isinstance(judged, StepJudged)
    assert judged.decision == "abort"
    assert aborted == RolloutAborted(step=0, epoch=9, reason=judged.reason)
    assert judged.reason.startswith("Aborted at 5 %: error rate rose")


@pytest.mark.parametrize("elapsed_ms", [10_000, 600_000])
def test_a_paused_rollout_waits_for_a_person_however_well_and_long_it_goes(elapsed_ms: int) -> None:
    look = JudgeStep(measurement=measurement(elapsed_ms=elapsed_ms, lasted_ms=elapsed_ms))

    given("paused").when(lambda state: decided(state, look)).then_nothing()


def test_a_rollout_that_is_promoted_before_a_decision_says_that_nothing_was_compared() -> None:
    past = Given(ROLLOUTS, rollout_started(), WARMED, STEP_0, stream="rollout-1")
    past.happens(*past.when(lambda state: decided(state, PromoteRollout(reason="we know it"))).then_events())
    look = JudgeStep(measurement=measurement(step=3, epoch=9, counts=ALONE))

    judged, completed = past.when(lambda state: decided(state, look)).then_events()

    assert isinstance(judged, StepJudged)
    assert completed == RolloutCompleted(reason="Completed after 10 s at 100 %, in which nothing was compared.")
    assert [(verdict.gate, verdict.outcome) for verdict in judged.verdicts] == [("error_rate", "no_data")]
    assert judged.verdicts[0].reason == (
        "error rate is compared with nothing: no step was decided while the baseline had requests"
    )
