"""The last good state on disk, from which a follower serves while the control plane and Kafka are away."""

import asyncio
from pathlib import Path

import msgspec
import structlog

from infra.data_directory import write_atomically
from serving.gateway.routing_state import RoutingSnapshot

FORMAT = 3

_log = structlog.get_logger(__name__)


class KeptState(msgspec.Struct, frozen=True, kw_only=True):
    """What is written: the routing state, when the last of it was read, and the format that it is in."""

    format: int = FORMAT
    read_at_ms: int = 0
    snapshot: RoutingSnapshot = RoutingSnapshot()


def read_state(path: Path) -> KeptState | None:
    """Return the stored state, or None if there is none that can be used."""
    try:
        state = msgspec.json.decode(path.read_bytes(), type=KeptState)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        _log.error("kept_state_unreadable", path=str(path), error=str(error))
        return None
    return state if state.format == FORMAT else None


async def write_state(path: Path, state: KeptState) -> None:
    """Replace the stored state; a thread waits for the disk."""
    await asyncio.to_thread(write_atomically, path, msgspec.json.encode(state))
