"""What can be asked about the key that distinguishes callers."""

import msgspec

from schemas.events.endpoints import AssignmentKey
from schemas.texts import Reason


class ChooseAssignmentKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Assign callers to versions by this key from now on."""

    key: AssignmentKey
    reason: Reason
