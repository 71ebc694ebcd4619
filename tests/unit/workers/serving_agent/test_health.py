import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.serving_agent.health import (
    Busy,
    Health,
    HealthRules,
    Outcome,
    Right,
    Sickness,
    Silent,
    Unsure,
    Wrong,
    observe,
    pause_before_next_s,
    sickness,
)

FAULT = Wrong("the engine answered 500", is_fault=True)
RULES = HealthRules(interval_s=2.0, timeout_s=5.0, slow_after_s=2.0, faults=3)
FAST, SLOW, WRONG, SILENT = Right(0.01), Right(2.5), Wrong("label should be [3] and is [7]"), Silent("no answer")


def verdict(*outcomes: Outcome, has_healthy_sibling: bool = True) -> Sickness | None:
    health = Health()
    for outcome in outcomes:
        health = observe(health, outcome, RULES)
    return sickness(health, RULES, has_healthy_sibling=has_healthy_sibling)


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ([SILENT] * 3, "instance-hung"),
        ([WRONG] * 3, "golden-answer-wrong"),
        ([SLOW] * 3, "instance-slow"),
        ([SLOW, SILENT, WRONG], "golden-answer-wrong"),
        ([SILENT, Unsure(), SILENT, Busy(), SILENT], "instance-hung"),
        ([Busy()] * 30, "instance-hung"),
        ([SILENT, FAST, SILENT, FAST, SILENT], "instance-hung"),
        ([SLOW, FAST, FAST, SLOW, FAST, SLOW], "instance-slow"),
    ],
)
def test_faults_among_the_last_probes_make_an_instance_sick_and_the_last_one_names_it(
    outcomes: list[Outcome], code: str
) -> None:
    found = verdict(*outcomes)

    assert found is not None
    assert found.code == code
    assert found.reason


@pytest.mark.parametrize(
    ("outcome", "is_in_log"), [(SILENT, True), (FAULT, True), (Busy(), True), (WRONG, False), (SLOW, False)]
)
def test_the_log_is_asked_where_the_outcome_does_not_explain_itself(outcome: Outcome, *, is_in_log: bool) -> None:
    found = verdict(*[outcome] * 30)

    assert found is not None
    assert found.is_in_log == is_in_log


@pytest.mark.parametrize(
    "outcomes",
    [
        [],
        [FAST] * 10,
        [SILENT, SILENT],
        [WRONG, FAST, FAST, FAST, WRONG, FAST, FAST, FAST, WRONG],
        [WRONG, WRONG, FAST, FAST, FAST, FAST, WRONG],
        [Unsure()] * 100,
        [Busy()] * 29,
        [*[Busy()] * 29, FAST, *[Busy()] * 29],
    ],
)
def test_too_few_faults_leave_it_in_rotation(outcomes: list[Outcome]) -> None:
    assert verdict(*outcomes) is None


def test_one_that_is_slow_stays_where_no_other_could_take_its_traffic() -> None:
    assert verdict(*[SLOW] * 9, has_healthy_sibling=False) is None
    assert verdict(*[SLOW] * 9, has_healthy_sibling=True) is not None


@pytest.mark.parametrize("outcome", [SILENT, WRONG])
def test_one_that_gives_no_right_answer_goes_also_as_the_last(outcome: Outcome) -> None:
    assert verdict(*[outcome] * 3, has_healthy_sibling=False) is not None


@pytest.mark.parametrize(
    ("outcomes", "pause_s"),
    [
        ([FAST], 2.0),
        ([Right(0.5)], 10.0),
        ([Right(1.9), Busy()], 2.0),
        ([Right(1.9)], 38.0),
        ([SILENT], 0.35),
        ([SILENT, FAST], 2.0),
        ([FAST, WRONG], 0.35),
        ([Busy()], 2.0),
        ([SLOW] * 3, 50.0),
        ([SILENT] * 3, 2.0),
    ],
)
def test_a_fault_is_looked_at_again_at_once_and_a_long_golden_input_asked_seldom(
    outcomes: list[Outcome], pause_s: float
) -> None:
    health = Health()
    for outcome in outcomes:
        health = observe(health, outcome, RULES)

    assert pause_before_next_s(health, outcomes[-1], RULES, draw=0.5) == pytest.approx(pause_s)


def test_the_second_look_comes_at_no_time_that_can_be_foreseen() -> None:
    health = observe(Health(), SILENT, RULES)

    pauses = [pause_before_next_s(health, SILENT, RULES, draw=draw) for draw in (0.0, 0.5, 1.0)]

    assert pauses == [0.1, 0.35, 0.6]


@given(st.lists(st.sampled_from([FAST, SLOW, WRONG, SILENT, Busy(), Unsure()])))
def test_as_many_right_answers_as_count_wipe_out_all_that_was_before(outcomes: list[Outcome]) -> None:
    health = Health()
    for outcome in [*outcomes, *[FAST] * RULES.looks]:
        health = observe(health, outcome, RULES)

    assert (health.faults, health.busy, health.last) == (0, 0, None)


@given(st.integers(min_value=0, max_value=20), st.integers(min_value=1, max_value=3))
def test_trouble_of_half_the_time_is_found_whatever_its_rhythm(well: int, ill: int) -> None:
    rhythm: list[Outcome] = [*[FAST] * min(well, ill), *[SILENT] * ill]
    health, found = Health(), None
    for outcome in rhythm * 8:
        health = observe(health, outcome, RULES)
        found = found or sickness(health, RULES, has_healthy_sibling=True)

    assert found is not None
