"""The command on captured predictions: load, decide, append, answer."""

from control_plane.endpoints.capture import decisions
from control_plane.endpoints.capture.commands import ChangeCapturePolicy
from control_plane.endpoints.handlers import append, endpoint_reply, load_endpoint
from control_plane.ports import Reply, UnitOfWork


def change_capture_policy(
    uow: UnitOfWork, endpoint: str, command: ChangeCapturePolicy, *, expected_version: int | None
) -> Reply:
    """Choose what is kept of the endpoint's predictions, whoever owns its traffic."""
    loaded = load_endpoint(uow, endpoint, expected_version=expected_version)
    events = decisions.change_capture_policy(loaded.state, command)
    return endpoint_reply(uow, append(uow, loaded.state.id, loaded, events))
