"""What can be asked about captured predictions."""

import msgspec

from schemas.events.endpoints import CapturePolicy
from schemas.texts import Reason


class ChangeCapturePolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Capture this of predictions from now on; it replaces the whole policy."""

    policy: CapturePolicy
    reason: Reason
