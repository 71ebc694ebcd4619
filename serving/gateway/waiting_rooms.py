"""The waiting rooms of all deployments that may sleep, and the calls that wake them."""

import asyncio
from functools import partial
from pathlib import Path
from typing import Protocol

import httpx
import msgspec
import structlog

from infra.background import Background
from serving.gateway import names
from serving.gateway.control_plane_client import RefusedByControlPlaneError
from serving.gateway.retries import MAX_HELD
from serving.gateway.route_documents import Change
from serving.gateway.routing_table import RoutingTable
from serving.gateway.waiting_room import WaitingRoom

_RETRY_S = 0.25
_OPEN_AGAIN_S = 1.0

_log = structlog.get_logger(__name__)


class HoldLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How many requests a deployment's waiting room takes, and how long each may wait."""

    requests: int = MAX_HELD
    seconds: float = 30.0


class Waker(Protocol):
    """Wakes a deployment: the control plane."""

    async def wake(self, endpoint_id: str, deployment_id: str, *, reason: str) -> None: ...


class WaitingRooms:
    """Rooms exist before Envoy learns about them and stay as long as their deployment. Used from one event loop."""

    def __init__(self, folder: Path, *, waker: Waker, limits: HoldLimits, background: Background) -> None:
        self._background = background
        self._folder = folder / names.HOLD
        self._waker = waker
        self._limits = limits
        self._rooms: dict[str, WaitingRoom] = {}
        self._waking: dict[str, asyncio.Task[None]] = {}
        self._endpoints: dict[str, str] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._unopened: set[str] = set()
        self._opening: asyncio.Task[None] | None = None

    def __contains__(self, deployment_id: object) -> bool:
        return deployment_id in self._rooms

    def prepare(self, change: Change, table: RoutingTable) -> None:
        """Open the rooms that a change needs; call this before Envoy is configured to use them.

        A room that cannot be opened is retried in the background: until then Envoy rejects its requests, and it has to
        get the rest of the change all the same.
        """
        for deployment_id in table.with_dependents(change.deployments):
            endpoint = table.endpoint_of(deployment_id)
            if endpoint is None:
                self._close(deployment_id)
            elif table.is_held(deployment_id):
                self._endpoints[deployment_id] = endpoint.id
                self._hold(deployment_id)
            else:
                self._unopened.discard(deployment_id)

    def let_go(self, deployment_id: str) -> None:
        """Release waiting requests: Envoy has acknowledged an instance."""
        if deployment_id in self._rooms:
            self._rooms[deployment_id].let_go()

    async def close(self) -> None:
        """Close all rooms."""
        if self._opening is not None:
            self._opening.cancel()
        for deployment_id in list(self._rooms):
            self._close(deployment_id)
        if self._closing:
            await asyncio.wait(self._closing)

    def _hold(self, deployment_id: str) -> None:
        try:
            self._room(deployment_id).hold()
        except OSError as error:
            _log.error("waiting_room_not_opened", deployment_id=deployment_id, reason=str(error))
            self._unopened.add(deployment_id)
            if self._opening is None or self._opening.done():
                self._opening = self._background.task("waiting-rooms-open", self._open_later)
        else:
            self._unopened.discard(deployment_id)

    async def _open_later(self) -> None:
        while self._unopened:
            await asyncio.sleep(_OPEN_AGAIN_S)
            for deployment_id in list(self._unopened):
                self._hold(deployment_id)

    def _room(self, deployment_id: str) -> WaitingRoom:
        if deployment_id not in self._rooms:
            self._rooms[deployment_id] = WaitingRoom(
                deployment_id,
                self._folder,
                limit=self._limits.requests,
                max_s=self._limits.seconds,
                on_arrival=self._arrived,
            )
        return self._rooms[deployment_id]

    def _arrived(self, deployment_id: str) -> None:
        if deployment_id not in self._waking:
            waking = self._background.task("waiting-rooms-wake", partial(self._wake, deployment_id))
            self._waking[deployment_id] = waking
            waking.add_done_callback(partial(self._has_woken, deployment_id))

    def _has_woken(self, deployment_id: str, waking: "asyncio.Task[None]") -> None:
        if self._waking.get(deployment_id) is waking:
            del self._waking[deployment_id]

    async def _wake(self, deployment_id: str) -> None:
        """Ask until it succeeds, while any request waits."""
        while self._rooms[deployment_id].waiting:
            try:
                await self._waker.wake(
                    self._endpoints[deployment_id], deployment_id, reason="a request waits at the gateway"
                )
            except RefusedByControlPlaneError as error:
                _log.error("wake_refused", deployment_id=deployment_id, error=str(error))
                return
            except (httpx.HTTPError, OSError) as error:
                _log.warning("wake_delayed", deployment_id=deployment_id, error=repr(error))
                await asyncio.sleep(_RETRY_S)
            else:
                _log.info("deployment_woken", deployment_id=deployment_id)
                return

    def _close(self, deployment_id: str) -> None:
        room = self._rooms.pop(deployment_id, None)
        self._endpoints.pop(deployment_id, None)
        self._unopened.discard(deployment_id)
        if (waking := self._waking.pop(deployment_id, None)) is not None:
            waking.cancel()
        if room is not None:
            task = asyncio.create_task(room.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
