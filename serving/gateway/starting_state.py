"""What a follower starts from: the last good state on disk, or else the control plane's answer."""

import asyncio
from pathlib import Path

import httpx
import structlog

from serving.gateway.control_plane_client import ControlPlaneClient
from serving.gateway.snapshot_file import KeptState, read_state

_RETRY_S = 0.5

_log = structlog.get_logger(__name__)


async def starting_state(path: Path, control_plane: ControlPlaneClient) -> KeptState:
    """Return the stored state; one that lacks events of a newer release only if the control plane knows no more."""
    kept = read_state(path)
    if kept is None:
        return await _first_state(control_plane)
    if not kept.snapshot.has_passed_over:
        return kept
    try:
        asked = await _asked(control_plane)
    except (httpx.HTTPError, OSError) as error:
        _log.warning("kept_state_has_gaps", error=repr(error))
        return kept
    # Something that cannot be read may have a route in the stored state, which continues to be served.
    return kept if asked.snapshot.has_passed_over else asked


async def _first_state(control_plane: ControlPlaneClient) -> KeptState:
    """Ask the control plane for as long as it takes: without any state there is nothing to serve."""
    while True:
        try:
            return await _asked(control_plane)
        except (httpx.HTTPError, OSError) as error:
            _log.warning("snapshot_delayed", error=repr(error))
            await asyncio.sleep(_RETRY_S)


async def _asked(control_plane: ControlPlaneClient) -> KeptState:
    return KeptState(snapshot=await control_plane.serving_snapshot(), cursor=None)
