"""The body of a rollback, which becomes a command of the endpoint's and maybe one of its rollout's."""

import msgspec

from schemas.texts import Reason


class RollbackRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Without an epoch, restore the traffic before the current one."""

    epoch: int | None = None
    reason: Reason
