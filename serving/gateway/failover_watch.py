"""Detects when a region's failovers start and end. Pure: no clock, no I/O.

A change only counts once it has lasted, so that an unstable instance does not cause a stream of events.
"""

from collections.abc import Iterable

import msgspec

from schemas.documents.endpoints import Instance
from schemas.events.endpoints import FailoverStarted
from schemas.failover import Takeover
from serving.gateway.priorities import Level
from serving.gateway.routing_state import EndpointRoute

START_AFTER_MS = 1_000
END_AFTER_MS = 5_000

Address = tuple[str, int]


class Started(Takeover, frozen=True, kw_only=True):
    """A failover started: others answer for the deployment."""

    endpoint_id: str


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A failover ended: the deployment answers again, or gets no more requests."""

    endpoint_id: str
    deployment_id: str
    reason: str


Transition = Started | Ended


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """The levels of a deployment that takes traffic."""

    endpoint: EndpointRoute
    deployment_id: str
    levels: tuple[Level, ...]


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """One observation: which deployments take traffic, who could answer for them, and which instances are lost."""

    serving: frozenset[str]
    standings: tuple[Standing, ...]
    unreachable: frozenset[Address] = frozenset()


class _Answering(msgspec.Struct, frozen=True):
    """Who answers: a deployment in a region; "" is the level of all other regions."""

    deployment_id: str
    region: str


class _Going(msgspec.Struct, frozen=True, kw_only=True):
    """A reported failover, with the region names of the report."""

    endpoint_id: str
    from_region: str
    to: tuple[str, str]


class FailoverWatch:
    """Compares what may answer with what can be reached; one per region."""

    def __init__(self, region: str, *, going_on: Iterable[tuple[str, FailoverStarted]] = ()) -> None:
        self._region = region
        self._primary: dict[str, _Answering] = {}
        self._seen: dict[str, tuple[_Answering, int]] = {}
        self._going: dict[str, _Going] = {
            failover.deployment_id: _Going(
                endpoint_id=endpoint_id,
                from_region=failover.from_region,
                to=(failover.to_deployment_id, failover.to_region),
            )
            for endpoint_id, failover in going_on
            if failover.region == region
        }

    @property
    def has_failovers(self) -> bool:
        return bool(self._going)

    def look(self, picture: Picture, *, now_ms: int) -> list[Transition]:
        """Return the changes that have lasted long enough by now."""
        found: list[Transition] = []
        for standing in picture.standings:
            found += self._judge(standing, unreachable=picture.unreachable, now_ms=now_ms)
        for deployment_id in self._going.keys() - picture.serving:
            gone = self._going.pop(deployment_id)
            reason = "the deployment no longer takes traffic"
            found.append(Ended(endpoint_id=gone.endpoint_id, deployment_id=deployment_id, reason=reason))
        self._forget(picture.serving)
        return found

    def _judge(self, standing: Standing, *, unreachable: frozenset[Address], now_ms: int) -> list[Transition]:
        answering = _first_reachable(standing.levels, unreachable)
        if answering is None:
            return []
        now = _answering(answering)
        primary = self._primary_of(standing, now)
        seen, since_ms = self._seen.get(standing.deployment_id, (None, now_ms))
        if seen != now:
            since_ms = now_ms
        self._seen[standing.deployment_id] = (now, since_ms)
        going = self._going.get(standing.deployment_id)
        if now == primary:
            return self._end(standing, answering) if going and now_ms - since_ms >= END_AFTER_MS else []
        is_reported = going and going.to == (answering.deployment_id, answering.regions)
        if is_reported or now_ms - since_ms < START_AFTER_MS:
            return []
        return self._start(standing, primary, answering, unreachable)

    def _primary_of(self, standing: Standing, now: _Answering) -> _Answering:
        """Return who normally answers: what the placement says, or else the first that ever did."""
        order = [_answering(level) for level in standing.levels]
        known = self._primary.get(standing.deployment_id)
        if known is None and (going := self._going.get(standing.deployment_id)):
            known = _level_in(standing, going.from_region)
        if known is None and self._region in standing.endpoint.placements.get(standing.deployment_id, ()):
            known = _Answering(standing.deployment_id, self._region)
        if known not in order or order.index(now) < order.index(known):
            known = now
        self._primary[standing.deployment_id] = known
        return known

    def _start(
        self, standing: Standing, primary: _Answering, answering: Level, unreachable: frozenset[Address]
    ) -> list[Transition]:
        going = self._going.get(standing.deployment_id)
        from_region = going.from_region if going else primary.region or answering.regions
        to = (answering.deployment_id, answering.regions)
        self._going[standing.deployment_id] = _Going(endpoint_id=standing.endpoint.id, from_region=from_region, to=to)
        passed = standing.levels[: standing.levels.index(answering)]
        code, reason = _explain(passed, unreachable)
        return [
            Started(
                endpoint_id=standing.endpoint.id,
                deployment_id=standing.deployment_id,
                from_region=from_region,
                to_deployment_id=to[0],
                to_region=to[1],
                code=code,
                reason=reason,
            )
        ]

    def _end(self, standing: Standing, answering: Level) -> list[Transition]:
        del self._going[standing.deployment_id]
        count = len(answering.instances)
        reason = (
            f"{count} instance{'s' if count > 1 else ''} in {answering.regions} {'are' if count > 1 else 'is'} back"
        )
        return [Ended(endpoint_id=standing.endpoint.id, deployment_id=standing.deployment_id, reason=reason)]

    def _forget(self, serving: frozenset[str]) -> None:
        self._primary = {key: value for key, value in self._primary.items() if key in serving}
        self._seen = {key: value for key, value in self._seen.items() if key in serving}


def address_of(instance: Instance) -> Address:
    return instance.host, instance.port


def _answering(level: Level) -> _Answering:
    return _Answering(level.deployment_id, level.region)


def _level_in(standing: Standing, region: str) -> _Answering:
    """Return the deployment's level in a region; a region without its own belongs to the level of all others."""
    own = _Answering(standing.deployment_id, region)
    return own if own in map(_answering, standing.levels) else _Answering(standing.deployment_id, "")


def _first_reachable(levels: Iterable[Level], unreachable: frozenset[Address]) -> Level | None:
    for level in levels:
        if any(address_of(instance) not in unreachable for instance in level.instances):
            return level
    return None


def _explain(passed: Iterable[Level], unreachable: frozenset[Address]) -> tuple[str, str]:
    """Say what is wrong with the levels that were skipped."""
    levels = tuple(passed)
    lost = [each for level in levels for each in level.instances if address_of(each) in unreachable]
    if lost:
        where = ", ".join(sorted({instance.region for instance in lost}))
        return "instances-unreachable", f"{len(lost)} of {len(lost)} announced instances in {where} cannot be reached"
    where = ", ".join(dict.fromkeys(level.region for level in levels if level.region)) or "any region"
    return "no-instance", f"no instance is announced in {where}"
