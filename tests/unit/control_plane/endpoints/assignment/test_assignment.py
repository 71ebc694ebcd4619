import pytest
from msgspec import Struct

from control_plane.endpoints import errors
from control_plane.endpoints.aggregate import NO_ENDPOINT
from control_plane.endpoints.assignment.commands import ChooseAssignmentKey
from control_plane.endpoints.assignment.decisions import choose_assignment_key
from schemas.events.endpoints import AssignmentKey


def choose(**key: str) -> list[Struct]:
    return choose_assignment_key(NO_ENDPOINT, ChooseAssignmentKey(key=AssignmentKey(**key), reason="r"))


def test_callers_may_be_told_apart_by_a_header_or_the_subject() -> None:
    assert choose(header="X-User-Id")
    assert choose(claim="sub")
    assert choose(header="X-Rollbook-Key") == []


@pytest.mark.parametrize(
    "key",
    [
        {},
        {"header": "x-a", "claim": "sub"},
        {"claim": "email"},
        *({"header": name} for name in ("authorization", "x-rollbook-role", "x-envoy-a", ":path", "a b", "")),
    ],
)
def test_what_tells_no_callers_apart_is_refused(key: dict[str, str]) -> None:
    with pytest.raises(errors.InvalidAssignmentKeyError):
        choose(**key)
