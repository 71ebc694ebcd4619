"""The operation on what is captured of predictions."""

from control_plane.endpoints import errors
from control_plane.endpoints.capture import handlers
from control_plane.endpoints.capture.commands import ChangeCapturePolicy
from control_plane.endpoints.resources import EndpointResource
from infra.operations import OPERATORS, Command, Operation


def operations() -> list[Operation]:
    """Declare it."""
    return [
        Command(
            method="PUT",
            path="/v1/endpoints/{endpoint}/capture-policy",
            handler=handlers.change_capture_policy,
            sdk="endpoints.set_capture_policy",
            asks=ChangeCapturePolicy,
            answers=EndpointResource,
            roles=OPERATORS,
            summary="Choose what is captured of predictions, and how long it is kept",
            errors=(*errors.STALE, errors.InvalidCapturePolicyError),
        ),
    ]
