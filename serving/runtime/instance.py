"""The identity of this engine process, for the agent that started it or adopts it."""

import os
from typing import Any

import msgspec


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """One boot of one engine."""

    instance_id: str
    boot_id: str
    deployment_id: str
    started_at: str

    def describe(self, *, in_flight: int) -> dict[str, Any]:
        """Return the answer to GET /rollbook/instance."""
        return {**msgspec.structs.asdict(self), "pid": os.getpid(), "in_flight": in_flight}
