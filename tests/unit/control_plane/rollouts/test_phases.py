"""Every command in every phase: what happens, what is refused, and that the rest changes nothing."""

import msgspec
import pytest

from control_plane.rollouts import errors
from control_plane.rollouts.commands import (
    AbortRollout,
    Command,
    JudgeStep,
    PauseRollout,
    PromoteRollout,
    ReportWarmUp,
    ResumeRollout,
)
from control_plane.rollouts.resources import ROLLOUTS
from schemas.events.rollouts import (
    CandidateWarmed,
    GateCounts,
    RolloutAborted,
    RolloutCompleted,
    RolloutPaused,
    RolloutPromoted,
    RolloutResumed,
    StepJudged,
    StepStarted,
)
from tests.support.builders import HEALTHY, THIN, WRONG, gate_counts, measurement, rollout_started
from tests.support.spec import BEGAN_MS, Given
from tests.unit.control_plane.rollouts.phases import (
    PAST,
    STEP_0,
    WARMED,
    decided,
    given,
)

COMMANDS: dict[str, Command] = {
    "warm-up": ReportWarmUp(ready_instances=1, elapsed_ms=100),
    "measurement": JudgeStep(measurement=measurement()),
    "bake": JudgeStep(measurement=measurement(step=3, epoch=8)),
    "pause": PauseRollout(reason="wait"),
    "resume": ResumeRollout(reason="go on"),
    "promote": PromoteRollout(reason="sure"),
    "abort": AbortRollout(reason="stop"),
}
TABLE: dict[str, dict[str, str]] = {
    "warming": {
        "warm-up": "CandidateWarmed StepStarted",
        "measurement": "",
        "bake": "",
        "pause": "refused",
        "resume": "refused",
        "promote": "refused",
        "abort": "RolloutAborted",
    },
    "stepping": {
        "warm-up": "",
        "measurement": "StepJudged StepStarted",
        "bake": "",
        "pause": "RolloutPaused",
        "resume": "",
        "promote": "StepStarted RolloutPromoted",
        "abort": "RolloutAborted",
    },
    "paused": {
        "warm-up": "",
        "measurement": "",
        "bake": "",
        "pause": "",
        "resume": "RolloutResumed",
        "promote": "StepStarted RolloutPromoted",
        "abort": "RolloutAborted",
    },
    "baking": {
        "warm-up": "",
        "measurement": "",
        "bake": "StepJudged RolloutCompleted",
        "pause": "refused",
        "resume": "refused",
        "promote": "",
        "abort": "RolloutAborted",
    },
    "completed": {
        "warm-up": "",
        "measurement": "",
        "bake": "",
        "pause": "finished",
        "resume": "finished",
        "promote": "",
        "abort": "finished",
    },
    "aborted": {
        "warm-up": "",
        "measurement": "",
        "bake": "",
        "pause": "finished",
        "resume": "finished",
        "promote": "finished",
        "abort": "",
    },
}


@pytest.mark.parametrize("phase", PAST)
def test_the_past_of_this_suite_leads_to_the_phase(phase: str) -> None:
    state = given(phase).state

    assert state is not None
    assert state.phase == phase


@pytest.mark.parametrize(("phase", "name"), [(phase, name) for phase in TABLE for name in COMMANDS])
def test_each_command_does_in_each_phase_what_the_table_says(phase: str, name: str) -> None:
    expected, command = TABLE[phase][name], COMMANDS[name]

    when = given(phase).when(lambda state: decided(state, command))

    match expected:
        case "refused":
            when.then_refused(errors.WrongPhaseError, "rollout-1", phase)
        case "finished":
            when.then_refused(errors.RolloutFinishedError, "rollout-1", phase)
        case _:
            assert " ".join(type(event).__name__ for event in when.then_events()) == expected


def test_a_warm_candidate_gets_the_first_step() -> None:
    given("warming").when(lambda state: decided(state, ReportWarmUp(ready_instances=1, elapsed_ms=100))).then(
        CandidateWarmed(ready_instances=1),
        StepStarted(
            step=0,
            weight_percent=5.0,
            epoch=9,
            reason="Started at 5 %: 1 instance of the candidate answers its golden input.",
        ),
    )


def test_too_few_instances_wait_for_more() -> None:
    Given(ROLLOUTS, rollout_started(replicas=2)).when(
        lambda state: decided(state, ReportWarmUp(ready_instances=1, elapsed_ms=29_999))
    ).then_nothing()


def test_a_candidate_that_is_not_warm_in_time_is_given_up() -> None:
    given("warming").when(lambda state: decided(state, ReportWarmUp(ready_instances=0, elapsed_ms=30_000))).then(
        RolloutAborted(
            step=None,
            epoch=None,
            reason="Aborted before it got any traffic: 0 of 1 instances were ready within 30 s.",
        )
    )


def test_a_candidate_that_can_not_start_is_given_up_with_its_reason() -> None:
    report = ReportWarmUp(ready_instances=0, elapsed_ms=10, failure="wrong-digest: the file differs")

    given("warming").when(lambda state: decided(state, report)).then(
        RolloutAborted(
            step=None,
            epoch=None,
            reason="Aborted before it got any traffic: the candidate cannot serve. wrong-digest: the file differs",
        )
    )


def test_a_failing_gate_aborts_at_once_whatever_time_has_passed() -> None:
    judged, aborted = (
        given("stepping")
        .when(lambda state: decided(state, JudgeStep(measurement=measurement(elapsed_ms=1, counts=WRONG))))
        .then_events()
    )

    assert isinstance(judged, StepJudged)
    assert judged.decision == "abort"
    assert [verdict.outcome for verdict in judged.verdicts] == ["pass", "pass", "fail"]
    assert aborted == RolloutAborted(step=0, epoch=9, reason=judged.reason)
    assert judged.reason == "Aborted at 5 %: accuracy fell from 94.0 % to 82.0 %."


def test_passing_gates_wait_for_the_shortest_duration() -> None:
    given("stepping").when(
        lambda state: decided(state, JudgeStep(measurement=measurement(elapsed_ms=2_999)))
    ).then_nothing()


def test_undecided_gates_wait_for_the_longest_duration() -> None:
    given("stepping").when(
        lambda state: decided(state, JudgeStep(measurement=measurement(elapsed_ms=59_999, counts=THIN)))
    ).then_nothing()


def test_a_step_without_a_decision_in_time_pauses() -> None:
    judged, paused = (
        given("stepping")
        .when(lambda state: decided(state, JudgeStep(measurement=measurement(elapsed_ms=60_000, counts=THIN))))
        .then_events()
    )

    assert isinstance(judged, StepJudged)
    assert judged.decision == "pause"
    assert paused == RolloutPaused(step=0, reason=judged.reason)
    assert judged.reason == (
        "Paused at 5 %: no decision in 60 s; error rate has 20 of the 50 requests it needs on the candidate, "
        "and 2 more gates are open."
    )


def test_a_step_without_a_decision_in_time_aborts_where_the_plan_says_so() -> None:
    undecided = JudgeStep(measurement=measurement(elapsed_ms=60_000, counts=THIN))

    events = (
        Given(ROLLOUTS, rollout_started(when_inconclusive="abort"), WARMED, STEP_0)
        .when(lambda state: decided(state, undecided))
        .then_events()
    )

    assert [type(event) for event in events] == [StepJudged, RolloutAborted]


def test_the_last_step_beside_the_baseline_leads_to_the_promotion() -> None:
    step_2 = StepStarted(step=2, weight_percent=50.0, epoch=7, reason="good")

    judged, step, promoted = (
        given("stepping", step_2)
        .when(lambda state: decided(state, JudgeStep(measurement=measurement(step=2, epoch=7))))
        .then_events()
    )

    assert isinstance(judged, StepJudged)
    assert judged.decision == "promote"
    assert step == StepStarted(step=3, weight_percent=100.0, epoch=9, reason=judged.reason)
    assert promoted == RolloutPromoted(epoch=9, reason=judged.reason)


@pytest.mark.parametrize("changes", [{"step": 1}, {"epoch": 4}, {"epoch": 6}])
def test_a_measurement_of_another_step_or_epoch_is_ignored(changes: dict[str, object]) -> None:
    stray = JudgeStep(measurement=measurement(counts=WRONG, **changes))

    given("stepping").when(lambda state: decided(state, stray)).then_nothing()


def test_a_measurement_that_was_judged_already_is_ignored() -> None:
    undecided = measurement(elapsed_ms=60_000, counts=THIN)
    past = given("stepping")
    past.happens(*past.when(lambda state: decided(state, JudgeStep(measurement=undecided))).then_events())
    past.happens(RolloutResumed(step=0, reason="go on"))

    past.when(lambda state: decided(state, JudgeStep(measurement=undecided))).then_nothing()


def test_a_resumed_step_gets_its_longest_duration_once_more() -> None:
    past = given("paused").happens(RolloutResumed(step=0, reason="go on"), at_ms=BEGAN_MS + 3_000 + 100_000)

    for elapsed_ms, is_over in ((159_999, False), (160_000, True)):
        look = JudgeStep(measurement=measurement(elapsed_ms=elapsed_ms, counts=THIN))
        events = past.when(lambda state, look=look: decided(state, look)).then_events()  # type: ignore[misc]
        assert bool(events) is is_over


def test_a_resumed_step_ends_again_though_its_view_never_came() -> None:
    unseen = measurement(freshness="late", watermark_ms=0, elapsed_ms=60_000, counts=())
    past = given("stepping")
    past.happens(*past.when(lambda state: decided(state, JudgeStep(measurement=unseen))).then_events())
    past.happens(RolloutResumed(step=0, reason="go on"), at_ms=BEGAN_MS + 3_000 + 100_000)

    past.when(lambda state: decided(state, JudgeStep(measurement=unseen))).then_nothing()
    later = JudgeStep(measurement=msgspec.structs.replace(unseen, elapsed_ms=160_000))
    events = past.when(lambda state: decided(state, later)).then_events()

    assert [type(event) for event in events] == [StepJudged, RolloutPaused]


def test_the_candidate_bakes_against_the_baseline_it_was_last_seen_beside() -> None:
    alone = tuple(gate_counts(each.gate, (each.candidate.bad, each.candidate.trials), (0, 0)) for each in HEALTHY)

    judged, completed = (
        given("baking")
        .when(lambda state: decided(state, JudgeStep(measurement=measurement(step=3, epoch=8, counts=alone))))
        .then_events()
    )

    assert isinstance(judged, StepJudged)
    assert judged.decision == "complete"
    assert [(verdict.gate, verdict.outcome) for verdict in judged.verdicts] == [("error_rate", "pass")]
    assert completed == RolloutCompleted(reason=judged.reason)


def test_a_candidate_that_turns_bad_while_baking_is_aborted() -> None:
    bad = JudgeStep(measurement=measurement(step=3, epoch=8, elapsed_ms=1, counts=_with_errors(400)))

    events = given("baking").when(lambda state: decided(state, bad)).then_events()

    assert [type(event) for event in events] == [StepJudged, RolloutAborted]
    assert events[1] == RolloutAborted(step=3, epoch=9, reason=events[0].reason)  # type: ignore[attr-defined]


def test_baking_lasts_the_bake_time() -> None:
    early = JudgeStep(measurement=measurement(step=3, epoch=8, elapsed_ms=4_999))

    given("baking").when(lambda state: decided(state, early)).then_nothing()


@pytest.mark.parametrize(("counts", "missing"), [(HEALTHY[:3], "quality"), ((), "error_rate")])
def test_a_measurement_without_a_gates_counts_is_refused(counts: tuple[GateCounts, ...], missing: str) -> None:
    partial = JudgeStep(measurement=measurement(counts=counts))

    given("stepping").when(lambda state: decided(state, partial)).then_refused(
        errors.InvalidMeasurementError, missing, field="counts"
    )


def test_counts_that_can_not_be_are_refused() -> None:
    impossible = (gate_counts("error_rate", (11, 10), (0, 100)), *HEALTHY[1:])

    given("stepping").when(
        lambda state: decided(state, JudgeStep(measurement=measurement(counts=impossible)))
    ).then_refused(errors.InvalidMeasurementError, "11 bad out of 10", field="counts")


def test_an_operators_reason_stands_in_the_event() -> None:
    given("paused").when(lambda state: decided(state, PromoteRollout(reason="checked by hand"))).then(
        StepStarted(step=3, weight_percent=100.0, epoch=9, reason="checked by hand"),
        RolloutPromoted(epoch=9, reason="checked by hand"),
    )


def test_who_cannot_pause_a_baking_rollout_is_told_how_to_end_it() -> None:
    with pytest.raises(errors.WrongPhaseError) as refused:
        given("baking").when(lambda state: decided(state, PauseRollout(reason="wait"))).then_events()

    assert refused.value.remedy == "wait for the bake time to end, or abort the rollout"


def _with_errors(bad: int) -> tuple[msgspec.Struct, ...]:
    return (gate_counts("error_rate", (bad, 1_000), (0, 0)), *HEALTHY[1:])
