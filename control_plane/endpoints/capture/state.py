"""The state of capture: the policy, and since when."""

import msgspec

from control_plane.endpoints.folds import Folds
from control_plane.ports import EventContext
from schemas.events.endpoints import CapturePolicy, CapturePolicyChanged


class Capture(msgspec.Struct, frozen=True, kw_only=True):
    """`version` is the stream version of the event that set the policy, 0 for the default."""

    policy: CapturePolicy = CapturePolicy()
    version: int = 0


def _changed(_state: Capture, event: CapturePolicyChanged, context: EventContext) -> Capture:
    return Capture(policy=event.policy, version=context.version)


CAPTURE_FOLDS: Folds[Capture] = {CapturePolicyChanged: _changed}
