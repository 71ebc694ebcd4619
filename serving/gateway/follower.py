"""Follows the log: folds it, passes the difference to Envoy, and reports each epoch that Envoy is seen to serve."""

import asyncio
from collections.abc import Sequence

import structlog

from infra.clock import Clock
from infra.kafka.serving_state import Documents
from schemas.documents.records import StateRecord
from schemas.envelope import rfc3339
from schemas.events.endpoints import FailoverStarted
from schemas.topics import SERVING_STATE
from serving.gateway import names
from serving.gateway.ads_server import AdsServer
from serving.gateway.applied_reports import AppliedReports
from serving.gateway.failover_watch import Picture, Standing
from serving.gateway.priorities import Home
from serving.gateway.resources import everything, update_for
from serving.gateway.route_documents import Change
from serving.gateway.routing_state import KeptState, TokenRules
from serving.gateway.routing_table import RoutingTable
from serving.gateway.state_file import StateFile
from serving.gateway.token_rules import keys_of_all, principals_revoked_in_all, tokens_revoked_in_all
from serving.gateway.waiting_rooms import WaitingRooms

_KEEP_AFTER_S = 0.05
_KEEP_EVERY_S = 0.1
_KEEP_UNHURRIED_S = 2.0
_TOMBSTONES_KEPT_MS = SERVING_STATE.tombstones_kept_ms or 0

_log = structlog.get_logger(__name__)


class Follower:
    """Owns the routing table. It all runs on one event loop, so a change is folded and passed on atomically."""

    def __init__(
        self,
        file: StateFile,
        *,
        ads: AdsServer,
        reports: AppliedReports,
        rooms: WaitingRooms,
        clock: Clock,
        home: Home | None = None,
    ) -> None:
        state = file.state or KeptState()
        self._file = file
        self._table = RoutingTable(state.snapshot, home=home)
        self._clock = clock
        self._read_at_ms = state.read_at_ms
        self._has_all = asyncio.Event()
        self._has_keys = asyncio.Event()
        self._ads = ads
        self._reports = reports
        self._rooms = rooms
        self._is_dirty = asyncio.Event()
        self._is_urgent = asyncio.Event()
        self._changed_at = state.snapshot.position
        self.changes = 0
        self.kept_position = state.snapshot.position

    @property
    def position(self) -> int:
        return self._table.position

    def sizes(self) -> dict[str, float]:
        """Return how many endpoints, instances, signing keys and revocations the table holds."""
        tokens = self._table.tokens
        revoked = (tokens.revoked_subjects, tokens_revoked_in_all(tokens), principals_revoked_in_all(tokens))
        return {
            "endpoint": len(self._table.endpoints),
            "instance": self._table.instance_count,
            "signing_key": len(keys_of_all(tokens)),
            "revocation": sum(map(len, revoked)),
        }

    @property
    def tokens(self) -> TokenRules:
        return self._table.tokens

    def workspace_of(self, endpoint_id: str) -> str | None:
        """Return to which workspace an endpoint belongs, None of an unknown one."""
        endpoint = self._table.endpoints.get(endpoint_id)
        return None if endpoint is None else endpoint.workspace

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

    async def has_something_to_serve(self) -> None:
        """Wait, as long as it takes, for all documents and for the keys of inference tokens."""
        await self._has_all.wait()
        await self._has_keys.wait()

    def begin(self) -> None:
        """Send everything that the state holds."""
        self._pass_on(everything(self._table))
        self._is_urgent.set()

    def follow(self, documents: Documents) -> None:
        """Take in documents and hand on what they changed, once: a backlog costs one update, not one per document."""
        wanted = {key: self._wanted_epoch(key) for key in self._endpoints_in(documents)}
        now_ms = self._clock.now_ms()
        change = self._table.take(documents, lets_go=now_ms - self._read_at_ms > _TOMBSTONES_KEPT_MS)
        self._read_at_ms = now_ms
        self._is_dirty.set()
        for endpoint_id in self._endpoints_in(documents):
            if self._wanted_epoch(endpoint_id) != wanted[endpoint_id]:
                self._tell_what_it_waits_for(endpoint_id)
        self._pass_on(change)
        if documents.is_all:
            self._has_all.set()

    def renew_tokens(self, tokens: TokenRules) -> None:
        """Take new keys or revocations."""
        self._pass_on(self._table.renew_tokens(tokens, at=rfc3339(self._clock.now_ms())))
        self._has_keys.set()

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
        """Write what changed to disk soon after, at most once per interval, until cancelled.

        A change to what Envoy serves is written immediately. The effects of other events, including the one that
        records the change as applied, wait for the next change or for their own interval. A state without them is just
        as good, because the log is reread from its position.
        """
        while True:
            await self._wait_for_changes()
            # Envoy gets the change first, and what follows it at once is written with it.
            await asyncio.sleep(_KEEP_AFTER_S)
            self._is_dirty.clear()
            self._is_urgent.clear()
            try:
                await self._keep()
            except BaseException:
                self._is_urgent.set()
                raise
            await asyncio.sleep(_KEEP_EVERY_S - _KEEP_AFTER_S)

    async def _keep(self) -> None:
        parts = self._table.everything() if self._file.needs_everything else self._table.unkept()
        await asyncio.to_thread(self._file.write, parts, read_at_ms=self._read_at_ms)
        self._table.has_kept(parts)
        self.kept_position = parts.position
        self._reports.kept_until(parts.position)

    async def _wait_for_changes(self) -> None:
        waiting = asyncio.create_task(self._is_dirty.wait())
        urgent = asyncio.create_task(self._is_urgent.wait())
        try:
            await asyncio.wait({waiting, urgent}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({urgent}, timeout=_KEEP_UNHURRIED_S)
        finally:
            waiting.cancel()
            urgent.cancel()

    @staticmethod
    def _endpoints_in(documents: Documents) -> list[str]:
        return [each.id for each in documents.records if isinstance(each, StateRecord) and each.kind == "endpoint"]

    def _wanted_epoch(self, endpoint_id: str) -> int | None:
        endpoint = self._table.endpoints.get(endpoint_id)
        return endpoint.document.epoch if endpoint else None

    def _tell_what_it_waits_for(self, endpoint_id: str) -> None:
        if missing := self._table.waiting(endpoint_id):
            _log.warning(
                "epoch_waits_for_instances",
                endpoint_id=endpoint_id,
                epoch=self._wanted_epoch(endpoint_id),
                deployments=sorted(missing),
            )

    def _pass_on(self, change: Change) -> None:
        if change:
            self._changed_at = self._table.position
            self._is_urgent.set()
            self._rooms.prepare(change, self._table)
            self.changes += self._ads.put(update_for(change, self._table))
