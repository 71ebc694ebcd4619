from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.serving_agent.reconcile import Action, Actual, DiscardModel, Disown, Keep, Retire, Slot, reconcile

A0, A1, B0 = Slot("a", 0), Slot("a", 1), Slot("b", 0)


@pytest.mark.parametrize(
    ("replicas", "actual", "expected"),
    [
        pytest.param({}, Actual(), [], id="nothing wanted, nothing there"),
        pytest.param({"a": 2}, Actual(), [Keep(A0), Keep(A1)], id="a new deployment gets its replicas"),
        pytest.param({"a": 1}, Actual(kept=frozenset({A0})), [], id="what is kept is left alone"),
        pytest.param({"a": 1}, Actual(recorded={A0: "i"}), [Keep(A0)], id="what an earlier agent left is adopted"),
        pytest.param({"a": 1}, Actual(kept=frozenset({A0, A1})), [Retire(A1)], id="fewer replicas"),
        pytest.param({}, Actual(recorded={B0: "i"}), [Retire(B0)], id="left by an earlier agent and not wanted now"),
        pytest.param(
            {"a": 1},
            Actual(kept=frozenset({B0}), recorded={B0: "i"}),
            [Retire(B0), Keep(A0)],
            id="retirements come first",
        ),
        pytest.param({}, Actual(retiring=frozenset({A0}), recorded={A0: "i"}), [], id="retiring is not retired again"),
        pytest.param(
            {"a": 1},
            Actual(retiring=frozenset({A0}), recorded={A0: "i"}),
            [Keep(A1)],
            id="wanted again while retiring takes the next slot",
        ),
        pytest.param(
            {"a": 1},
            Actual(kept=frozenset({A0}), recorded={A0: "i"}, announced=frozenset({"i", "ghost"})),
            [Disown("ghost")],
            id="an announced instance that nothing here knows",
        ),
        pytest.param({}, Actual(models=frozenset({"a"})), [DiscardModel("a")], id="a model that no slot uses"),
        pytest.param(
            {}, Actual(models=frozenset({"a"}), retiring=frozenset({A0})), [], id="a model is kept while it drains"
        ),
        pytest.param({"a": 0}, Actual(models=frozenset({"a"})), [], id="a wanted model without replicas is kept"),
    ],
)
def test_the_actions_follow_from_desired_and_actual(
    replicas: dict[str, int], actual: Actual, expected: list[Action]
) -> None:
    assert reconcile(replicas, actual) == expected


slots = st.builds(Slot, st.sampled_from("abc"), st.integers(0, 3))


def test_what_is_not_understood_is_left_as_it_is() -> None:
    actual = Actual(kept=frozenset({A0, A1, B0}), models=frozenset({"c"}))

    assert reconcile({"a": 1}, actual, is_complete=False) == [Retire(A1)]


@given(st.dictionaries(st.sampled_from("abc"), st.integers(0, 4)), st.frozensets(slots), st.frozensets(slots))
def test_doing_the_actions_leaves_nothing_to_do(
    replicas: dict[str, int], kept: frozenset[Slot], recorded: frozenset[Slot]
) -> None:
    models = frozenset(slot.deployment_id for slot in recorded)
    actual = Actual(kept=kept, recorded=dict.fromkeys(recorded, "i"), models=models)
    for _ in range(2):
        for action in reconcile(replicas, actual):
            actual = _done(action, actual)

    assert reconcile(replicas, actual) == []
    counts = Counter(slot.deployment_id for slot in actual.kept)
    assert counts == Counter({name: count for name, count in replicas.items() if count})


def _done(action: Action, actual: Actual) -> Actual:
    match action:
        case Keep(slot):
            return Actual(kept=actual.kept | {slot}, recorded=actual.recorded, models=actual.models)
        case Retire(slot):
            rest = {known: instance for known, instance in actual.recorded.items() if known != slot}
            return Actual(kept=actual.kept - {slot}, recorded=rest, models=actual.models)
        case DiscardModel(deployment_id):
            return Actual(kept=actual.kept, recorded=actual.recorded, models=actual.models - {deployment_id})
        case Disown():
            return actual
