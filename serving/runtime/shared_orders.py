"""What the agent and a shared runtime say to each other: lines of JSON on one connection an instance.

The connection stands for the instance: whoever began or holds it sees its end as the end of the connection.
"""

from typing import TypeAlias

import msgspec


class Begin(msgspec.Struct, frozen=True, kw_only=True, tag="begin"):
    """Serve one more instance, with the settings that a runtime of its own would have."""

    environment: dict[str, str]


class Hold(msgspec.Struct, frozen=True, kw_only=True, tag="hold"):
    """Take over an instance that was begun on another connection."""

    boot_id: str


class End(msgspec.Struct, frozen=True, kw_only=True, tag="end"):
    """End the connection's instance once what is in progress is answered, or the time for that is over."""

    deadline_s: float


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """The process that the instance is in; or why there is no such instance."""

    pid: int = 0
    error: str = ""


Order: TypeAlias = Begin | Hold | End


def line(message: Order | Taken) -> bytes:
    """Write a message as it goes over the connection."""
    return msgspec.json.encode(message) + b"\n"
