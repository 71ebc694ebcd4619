from control_plane.event_store.folded_states import FoldedState, FoldedStates
from tests.support.store import SHELF, Shelf


def _state(version: int) -> FoldedState:
    return FoldedState(SHELF, "default", Shelf(), version)


def test_the_least_recently_used_state_makes_room() -> None:
    states = FoldedStates(capacity=2)
    states.commit({"a": _state(1), "b": _state(1)})

    states.get("a")
    states.commit({"c": _state(1)})

    assert states.get("b") is None
    assert [name for name in "ac" if states.get(name)] == ["a", "c"]


def test_a_commit_replaces_and_forgetting_removes() -> None:
    states = FoldedStates(capacity=2)
    states.commit({"a": _state(1)})
    states.commit({"a": _state(2)})
    assert states.get("a") == _state(2)

    states.forget("a")
    states.forget("a")

    assert states.get("a") is None
