"""The operation on the key that keeps a caller on one version."""

from control_plane.endpoints import errors
from control_plane.endpoints.assignment import handlers
from control_plane.endpoints.assignment.commands import ChooseAssignmentKey
from control_plane.endpoints.resources import EndpointResource
from infra.operations import OPERATORS, Command, Operation


def operations() -> list[Operation]:
    """Declare it."""
    return [
        Command(
            method="PUT",
            path="/v1/endpoints/{endpoint}/assignment-key",
            handler=handlers.choose_assignment_key,
            sdk="endpoints.choose_assignment_key",
            asks=ChooseAssignmentKey,
            answers=EndpointResource,
            roles=OPERATORS,
            summary="Choose the key that keeps a caller on one version",
            errors=(*errors.STALE, errors.InvalidAssignmentKeyError),
        ),
    ]
