"""A grant of a role, and why it was given."""

import pytest
from msgspec.structs import replace

from control_plane.access.aggregate import NO_PRINCIPAL, evolve, grant_role
from control_plane.ports import EventContext
from schemas.catalogue import decode_data
from schemas.envelope import encode_data
from schemas.events.access import RoleGranted

VIEWER = replace(NO_PRINCIPAL, id="principal-1", role="viewer")
CONTEXT = EventContext(
    event_id="event-1", workspace="default", stream="principal-1", version=2, at="2026-01-02T03:04:05.678Z", actor="p"
)


@pytest.mark.parametrize("reason", ["took over the on-call rota", None])
def test_the_reason_of_a_grant_is_part_of_the_fact(reason: str | None) -> None:
    assert grant_role(VIEWER, "admin", reason) == (RoleGranted(role="admin", reason=reason),)


def test_a_grant_of_the_role_that_one_has_changes_nothing() -> None:
    assert grant_role(VIEWER, "viewer", "to be sure") == ()


def test_a_grant_of_the_first_version_counts_as_one_of_the_second() -> None:
    first = decode_data("access.RoleGranted.v1", encode_data(RoleGranted(role="admin", reason="dropped")))
    assert first is not None

    assert evolve(VIEWER, first, CONTEXT).role == "admin"
