"""Follows the log: folds it, passes the difference to Envoy, and reports each epoch that Envoy is seen to serve."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import structlog

from infra.newer_release import NewerEvents
from schemas.catalogue import TYPE_NAMES
from schemas.events.endpoints import FailoverStarted, TrafficShifted
from serving.gateway import names
from serving.gateway.ads_server import AdsServer
from serving.gateway.applied_reports import AppliedReports
from serving.gateway.event_feed import RecordedEvent
from serving.gateway.failover_watch import Picture, Standing
from serving.gateway.priorities import Home
from serving.gateway.resources import everything, update_for
from serving.gateway.routing_state import TokenRules
from serving.gateway.routing_table import NOTHING, Change, RoutingTable
from serving.gateway.snapshot_file import KeptState, write_state
from serving.gateway.waiting_rooms import WaitingRooms

_KEEP_AFTER_S = 0.05
_KEEP_EVERY_S = 0.1
_KEEP_UNHURRIED_S = 2.0
_TRAFFIC_SHIFTED = TYPE_NAMES[TrafficShifted]

_log = structlog.get_logger(__name__)


class Follower:
    """Owns the routing table. It all runs on one event loop, so a change is folded and passed on atomically."""

    def __init__(
        self,
        state: KeptState,
        *,
        ads: AdsServer,
        reports: AppliedReports,
        rooms: WaitingRooms,
        snapshot_path: Path,
        home: Home | None = None,
    ) -> None:
        self._table = RoutingTable(state.snapshot, home=home, on_newer=NewerEvents().tell)
        self.cursor = state.cursor
        self._ads = ads
        self._reports = reports
        self._rooms = rooms
        self._snapshot_path = snapshot_path
        self._is_dirty = asyncio.Event()
        self._is_urgent = asyncio.Event()
        self._changed_at = state.snapshot.position
        self.changes = 0

    @property
    def position(self) -> int:
        return self._table.position

    def sizes(self) -> dict[str, float]:
        """Return how many endpoints, instances, signing keys and revocations the table holds."""
        tokens = self._table.tokens
        revoked = (tokens.revoked_subjects, tokens.revoked_tokens, tokens.revoked_principals)
        return {
            "endpoint": len(self._table.endpoints),
            "instance": self._table.instance_count,
            "signing_key": len(tokens.keys),
            "revocation": sum(map(len, revoked)),
        }

    @property
    def tokens(self) -> TokenRules:
        return self._table.tokens

    @property
    def failovers(self) -> list[tuple[str, FailoverStarted]]:
        """The current failovers with their endpoints, according to the log."""
        return [(each.id, failover) for each in self._table.endpoints.values() for failover in each.failovers]

    def picture(self) -> Picture:
        """Return who takes traffic, and who else may answer."""
        serving = {
            deployment_id: endpoint
            for endpoint in self._table.endpoints.values()
            if endpoint.served
            for deployment_id in endpoint.served.deployments()
        }
        return Picture(
            serving=frozenset(serving),
            standings=tuple(
                Standing(endpoint=of, deployment_id=each, levels=self._table.levels_of(each, endpoint=of))
                for each, of in serving.items()
                if self._table.could_be_elsewhere(each, endpoint=of)
            ),
        )

    def begin(self) -> None:
        """Send everything that the state holds."""
        self._pass_on(everything(self._table))
        self._is_urgent.set()

    def follow(self, events: Sequence[RecordedEvent]) -> None:
        """Fold a batch and pass on what it changed, once: a backlog costs one update, not one per event."""
        change = NOTHING
        for event in events:
            change |= self._fold(event)
        self._pass_on(change)

    def renew_tokens(self, tokens: TokenRules) -> None:
        """Take new keys or revocations."""
        self._pass_on(self._table.renew_tokens(tokens))

    def on_taken(self, type_url: str, taken: Sequence[str]) -> None:
        """Take what Envoy acknowledged from the ADS server, and have new epochs probed and reported."""
        if type_url == names.ENDPOINTS_TYPE:
            self._let_go(taken)
        if type_url != names.ROUTE_TYPE:
            return
        for name in taken:
            endpoint = self._table.endpoints.get(name)
            if endpoint and endpoint.served and endpoint.served.epoch > endpoint.reported_epoch:
                self._reports.confirm(endpoint, epoch=endpoint.served.epoch, position=self._changed_at)

    def _let_go(self, taken: Sequence[str]) -> None:
        for name in taken:
            # A deployment's two clusters get their instances in a single response.
            if name in self._rooms and self._table.is_answered(name):
                self._rooms.let_go(name)

    async def keep_state(self) -> None:
        """Write the state to disk soon after it changed, at most once per interval, until cancelled.

        A change to what Envoy serves is written immediately. The effects of other events, including the one that
        records the change as applied, wait for the next change or for their own interval. A state without them is just
        as good, because the log is reread from its position.
        """
        while True:
            await self._wait_for_changes()
            # Envoy gets the change first: with a thousand endpoints, encoding blocks this loop for 9 ms.
            await asyncio.sleep(_KEEP_AFTER_S)
            self._is_dirty.clear()
            self._is_urgent.clear()
            state = KeptState(snapshot=self._table.snapshot(), cursor=self.cursor)
            await write_state(self._snapshot_path, state)
            self._reports.kept_until(state.snapshot.position)
            await asyncio.sleep(_KEEP_EVERY_S - _KEEP_AFTER_S)

    async def _wait_for_changes(self) -> None:
        waiting = asyncio.create_task(self._is_dirty.wait())
        urgent = asyncio.create_task(self._is_urgent.wait())
        try:
            await asyncio.wait({waiting, urgent}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({urgent}, timeout=_KEEP_UNHURRIED_S)
        finally:
            waiting.cancel()
            urgent.cancel()

    def _fold(self, event: RecordedEvent) -> Change:
        envelope = event.envelope
        change = self._table.apply(envelope, position=event.cursor.position)
        self.cursor = event.cursor
        self._is_dirty.set()
        if envelope.type == _TRAFFIC_SHIFTED and (missing := self._table.waiting(envelope.stream)):
            _log.warning(
                "epoch_waits_for_instances",
                endpoint_id=envelope.stream,
                epoch=envelope.streamversion,
                deployments=sorted(missing),
            )
        return change

    def _pass_on(self, change: Change) -> None:
        if change:
            self._changed_at = self._table.position
            self._is_urgent.set()
            self._rooms.prepare(change, self._table)
            self.changes += self._ads.put(update_for(change, self._table))
