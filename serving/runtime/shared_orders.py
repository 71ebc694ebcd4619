"""Messages between the agent and a shared runtime: lines of JSON, on one connection per instance.

The connection represents the instance: when the instance ends, the connection does.
"""

from typing import TypeAlias

import msgspec


class Begin(msgspec.Struct, frozen=True, kw_only=True, tag="begin"):
    """Serve one more instance, with the settings that a separate runtime would have."""

    environment: dict[str, str]


class Hold(msgspec.Struct, frozen=True, kw_only=True, tag="hold"):
    """Take over an instance that was started on another connection."""

    boot_id: str


class End(msgspec.Struct, frozen=True, kw_only=True, tag="end"):
    """Stop the connection's instance once requests in progress are answered or their time is up."""

    deadline_s: float


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """The instance's process, or why there is no such instance."""

    pid: int = 0
    error: str = ""


Order: TypeAlias = Begin | Hold | End


def line(message: Order | Taken) -> bytes:
    """Encode a message for the connection."""
    return msgspec.json.encode(message) + b"\n"
