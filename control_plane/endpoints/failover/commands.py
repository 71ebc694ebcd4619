"""What people can ask about failover; what gateways report is in `schemas/failover.py`."""

import msgspec

from schemas.events.endpoints import FailoverPolicy


class SetFailoverPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Fail over like this from now on; it replaces the whole policy. The backup may be named by its version."""

    policy: FailoverPolicy
    reason: str
