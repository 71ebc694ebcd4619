"""What the judge knows about active rollouts, from the documents that it follows. No I/O: clocks come with the calls.

`seen_s` is a monotonic clock of the judge, of which only differences are used. What was there before the judge began
is timed by the wall clock, `now_ms`, once; everything after that by when it was seen.
"""

from collections.abc import Collection, Mapping
from typing import TypeAlias

import msgspec

from infra.kafka.serving_state import Documents
from infra.newer_release import document_understood
from schemas.documents.endpoints import ServingRegion
from schemas.documents.records import Removed, StateRecord
from schemas.documents.rollouts import Rollout
from schemas.envelope import unix_ms
from workers.rollout_judge.regions import Endpoint, began_at_ms, behind


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """One active rollout: its document, and what is known around it. `applied_ms` is None until its step begins.

    `started_s` is when it started, `set_s` when the weight of its step was set, `applied_s` when the step began, all on
    the judge's monotonic clock; `is_live` if the judge saw that weight being set. `behind` are the regions that do not
    serve the step, `gateways` those that were alive when the view was last asked about its epoch.
    """

    rollout: Rollout
    workspace: str
    started_s: float
    set_s: float
    is_live: bool = False
    applied_ms: int | None = None
    applied_s: float | None = None
    behind: tuple[ServingRegion, ...] = ()
    gateways: frozenset[str] | None = None
    instances: frozenset[str] = frozenset()
    failure: str | None = None


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """What the judge reads from an instance's document."""

    deployment_id: str
    phase: str
    code: str | None = None
    reason: str | None = None


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """When documents were read. `is_live` if they just changed; others are timed by the wall clock."""

    seen_s: float
    now_ms: int
    is_live: bool

    def of(self, at_ms: int) -> float:
        """Return when something seen now happened, on the monotonic clock."""
        return self.seen_s if self.is_live else self.seen_s - max(0, self.now_ms - at_ms) / 1000


_OVER = ("completed", "aborted")
Rollouts: TypeAlias = Mapping[str, Watched]


class Picture:
    """The active rollouts, with what is known about their endpoints and instances."""

    def __init__(self) -> None:
        self.rollouts: dict[str, Watched] = {}
        self.position = 0
        self._endpoints: dict[str, Endpoint] = {}
        self._instances: dict[str, dict[str, Instance]] = {}
        self._deployment_of: dict[str, str] = {}

    def take(self, documents: Documents, moment: Moment) -> None:
        """Take documents, and skip those that only a newer release can read."""
        if documents.is_all:
            there = {record.id for record in documents.records}
            for gone in (self.rollouts.keys() | self._endpoints.keys() | self._deployment_of.keys()) - there:
                self._remove(gone)
        for record in documents.records:
            self._take(record, moment)
        self.position = max(self.position, documents.position)

    def hear(self, watched: Watched, gateways: Collection[str], *, seen_s: float, now_ms: int) -> Watched:
        """Take which gateways are alive, and return the rollout as it was asked about, with what follows from that."""
        known = self.rollouts.get(watched.rollout.id)
        if known is None or known.rollout.epoch != watched.rollout.epoch:
            return watched
        if known.gateways != gateways:
            heard = msgspec.structs.replace(known, gateways=frozenset(gateways))
            known = self._with_applied(heard, Moment(seen_s=seen_s, now_ms=now_ms, is_live=known.is_live))
            self.rollouts[watched.rollout.id] = known
        return msgspec.structs.replace(
            watched, applied_ms=known.applied_ms, applied_s=known.applied_s, behind=known.behind
        )

    def _take(self, record: StateRecord | Removed, moment: Moment) -> None:
        if isinstance(record, Removed):
            self._remove(record.id)
        elif record.kind == "rollout":
            self._take_rollout(document_understood(record, Rollout), moment, workspace=record.workspace)
        elif record.kind == "endpoint":
            self._take_endpoint(record.id, document_understood(record, Endpoint), moment)
        elif record.kind == "instance":
            self._take_instance(record.id, document_understood(record, Instance))

    def _take_rollout(self, rollout: Rollout | None, moment: Moment, *, workspace: str) -> None:
        if rollout is None:
            return
        if rollout.phase in _OVER:
            self.rollouts.pop(rollout.id, None)
            return
        known = self.rollouts.get(rollout.id)
        watched = Watched(
            rollout=rollout,
            workspace=workspace,
            started_s=moment.of(unix_ms(rollout.started_at)) if known is None else known.started_s,
            set_s=moment.of(unix_ms(rollout.step_started_at or rollout.started_at)),
            is_live=moment.is_live,
        )
        if known is not None and known.rollout.epoch == rollout.epoch:
            watched = msgspec.structs.replace(
                watched,
                set_s=known.set_s,
                is_live=known.is_live,
                applied_ms=known.applied_ms,
                applied_s=known.applied_s,
                gateways=known.gateways,
            )
        self.rollouts[rollout.id] = self._with_candidate(self._with_applied(watched, moment))

    def _take_endpoint(self, endpoint_id: str, endpoint: Endpoint | None, moment: Moment) -> None:
        if endpoint is None:
            return
        self._endpoints[endpoint_id] = endpoint
        for rollout_id, watched in self.rollouts.items():
            if watched.rollout.endpoint_id == endpoint_id:
                self.rollouts[rollout_id] = self._with_applied(watched, moment)

    def _take_instance(self, instance_id: str, instance: Instance | None) -> None:
        if instance is None:
            return
        self._remove(instance_id)
        self._instances.setdefault(instance.deployment_id, {})[instance_id] = instance
        self._deployment_of[instance_id] = instance.deployment_id
        self._renew_candidates(instance.deployment_id)

    def _remove(self, document_id: str) -> None:
        self.rollouts.pop(document_id, None)
        self._endpoints.pop(document_id, None)
        if (deployment_id := self._deployment_of.pop(document_id, None)) is not None:
            del self._instances[deployment_id][document_id]
            self._renew_candidates(deployment_id)

    def _renew_candidates(self, deployment_id: str) -> None:
        for rollout_id, watched in self.rollouts.items():
            if watched.rollout.candidate_deployment_id == deployment_id:
                self.rollouts[rollout_id] = self._with_candidate(watched)

    def _with_applied(self, watched: Watched, moment: Moment) -> Watched:
        endpoint = self._endpoints.get(watched.rollout.endpoint_id)
        if endpoint is None:
            return watched
        alive = watched.gateways
        watched = msgspec.structs.replace(watched, behind=behind(endpoint, watched.rollout, alive=alive))
        began_ms = began_at_ms(endpoint, watched.rollout, alive=alive)
        if watched.applied_ms is not None or began_ms is None:
            return watched
        return msgspec.structs.replace(watched, applied_ms=began_ms, applied_s=moment.of(began_ms))

    def _with_candidate(self, watched: Watched) -> Watched:
        instances = self._instances.get(watched.rollout.candidate_deployment_id, {})
        announced = frozenset(key for key, each in instances.items() if each.phase == "announced")
        failures = [f"{each.code}: {each.reason}" for each in instances.values() if each.phase == "failed"]
        return msgspec.structs.replace(watched, instances=announced, failure=failures[-1] if failures else None)
