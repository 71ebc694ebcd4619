"""The command on the assignment key: load, decide, append, answer."""

from control_plane.endpoints.assignment import decisions
from control_plane.endpoints.assignment.commands import ChooseAssignmentKey
from control_plane.endpoints.handlers import append, endpoint_reply, load_endpoint
from control_plane.ports import Reply, UnitOfWork


def choose_assignment_key(
    uow: UnitOfWork, endpoint: str, command: ChooseAssignmentKey, *, expected_version: int | None
) -> Reply:
    """Assign callers by another key."""
    loaded = load_endpoint(uow, endpoint, expected_version=expected_version)
    events = decisions.choose_assignment_key(loaded.state, command)
    return endpoint_reply(uow, append(uow, loaded.state.id, loaded, events))
