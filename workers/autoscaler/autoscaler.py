"""Measures each deployment under a policy once per interval. The autoscaler measures; the aggregate decides."""

import asyncio
from typing import Protocol

import msgspec
import structlog

from infra.clock import Clock
from schemas.scaling import LoadMeasurement, LoadSample, LoadWindow, ScalingPolicy
from workers.autoscaler.control_plane import DeploymentAnswer, InstanceAnswer, ScalingAnswer, SnapshotAnswer
from workers.autoscaler.engine_load import Counters
from workers.autoscaler.errors import PartAwayError, RefusedError
from workers.autoscaler.gateway_load import Traffic
from workers.autoscaler.looks import Reading, look_at
from workers.autoscaler.recording import RecordedLook, Recording

_REPORTS_AT_ONCE = 8
_log = structlog.get_logger(__name__)


class Plane(Protocol):
    """What the autoscaler needs from the control plane."""

    async def snapshot(self) -> SnapshotAnswer: ...
    async def report_load(
        self, endpoint_id: str, deployment_id: str, measurement: LoadMeasurement
    ) -> ScalingAnswer: ...


class GatewaySource(Protocol):
    """The requests that gateways have in progress."""

    async def traffic(self) -> dict[str, Traffic]: ...


class EngineSource(Protocol):
    """The engines' metrics."""

    async def counters(self, instances: list[InstanceAnswer]) -> dict[str, Counters]: ...


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """Where measurements come from."""

    gateways: GatewaySource
    engines: EngineSource


class _Watched(msgspec.Struct, frozen=True, kw_only=True):
    endpoint_id: str
    deployment: DeploymentAnswer
    policy: ScalingPolicy
    instances: list[InstanceAnswer]

    @property
    def asks_engines(self) -> bool:
        return any(
            each is not None for each in (self.policy.queue_depth, self.policy.latency_ms, self.policy.tokens_waiting)
        )


class Autoscaler:
    """Running two at once only measures twice: the endpoint's version settles conflicts."""

    def __init__(self, plane: Plane, sources: Sources, *, clock: Clock, recording: Recording) -> None:
        self._plane = plane
        self._sources = sources
        self._clock = clock
        self._recording = recording
        self._watched: dict[str, _Watched] = {}
        self._windows: dict[str, LoadWindow] = {}
        self._before: dict[str, Reading] = {}
        self.is_stale = True
        self.looks = 0
        self.changes = 0
        self.failures = 0

    @property
    def watched(self) -> int:
        """The number of deployments with a policy."""
        return len(self._watched)

    async def look_at_all(self) -> None:
        """Measure each deployment once, and report the result."""
        if self.is_stale:
            await self._read_snapshot()
        if not self._watched:
            return
        traffic = await self._traffic()
        readings = await asyncio.gather(*(self._read(each, traffic) for each in self._watched.values()))
        looks: list[tuple[_Watched, LoadSample]] = []
        for watched, reading in zip(self._watched.values(), readings, strict=True):
            looks.append((watched, look_at(reading, self._before.get(watched.deployment.id))))
            self._before[watched.deployment.id] = reading
        self.looks += len(looks)
        self.failures += sum(not sample.is_complete for _, sample in looks)
        self._record(looks)
        places = asyncio.Semaphore(_REPORTS_AT_ONCE)
        await asyncio.gather(*(self._report(each, sample, places) for each, sample in looks))

    async def _read_snapshot(self) -> None:
        self.is_stale = False
        try:
            snapshot = await self._plane.snapshot()
        except (PartAwayError, RefusedError) as error:
            self.is_stale = True
            _log.warning("snapshot_delayed", error=str(error))
            return
        self._watched = _watched(snapshot)
        for remembered in (self._windows, self._before):
            for deployment_id in remembered.keys() - self._watched.keys():
                del remembered[deployment_id]

    async def _traffic(self) -> dict[str, Traffic] | None:
        try:
            return await self._sources.gateways.traffic()
        except PartAwayError as error:
            _log.warning("gateway_not_measured", error=str(error))
            return None

    async def _read(self, watched: _Watched, traffic: dict[str, Traffic] | None) -> Reading:
        engines: dict[str, Counters] | None = None
        if watched.asks_engines:
            try:
                engines = await self._sources.engines.counters(watched.instances)
            except PartAwayError as error:
                _log.warning("engine_not_measured", deployment_id=watched.deployment.id, error=str(error))
        return Reading(
            at_ms=self._clock.now_ms(),
            ready=len(watched.instances),
            traffic=None if traffic is None else traffic.get(watched.deployment.id, Traffic()),
            engines=engines,
            asks_engines=watched.asks_engines,
        )

    def _record(self, looks: list[tuple[_Watched, LoadSample]]) -> None:
        lines = [
            RecordedLook(endpoint_id=each.endpoint_id, deployment_id=each.deployment.id, sample=sample)
            for each, sample in looks
        ]
        try:
            self._recording.append(lines)
        except OSError as error:
            _log.error("looks_not_recorded", error=str(error))

    async def _report(self, watched: _Watched, sample: LoadSample, places: asyncio.Semaphore) -> None:
        deployment = watched.deployment
        measurement = self._windows.setdefault(deployment.id, LoadWindow()).measure(
            sample, window_ms=watched.policy.stabilisation_window_ms, scaling_version=deployment.scaling_version
        )
        try:
            async with places:
                answer = await self._plane.report_load(watched.endpoint_id, deployment.id, measurement)
        except (PartAwayError, RefusedError) as error:
            self.is_stale = True
            self.failures += 1
            _log.warning("load_not_told", deployment_id=deployment.id, error=str(error))
            return
        if answer.is_changed or answer.scaling_version != deployment.scaling_version:
            self.is_stale = True
        if answer.is_changed:
            self.changes += 1
            _log.info("replicas_changed", deployment_id=deployment.id, replicas=answer.replicas, code=answer.code)


def _watched(snapshot: SnapshotAnswer) -> dict[str, _Watched]:
    instances: dict[str, list[InstanceAnswer]] = {}
    for each in snapshot.instances:
        instances.setdefault(each.deployment_id, []).append(each)
    return {
        deployment.id: _Watched(
            endpoint_id=endpoint.id,
            deployment=deployment,
            policy=endpoint.scaling,
            instances=instances.get(deployment.id, []),
        )
        for endpoint in snapshot.endpoints
        if endpoint.scaling is not None
        for deployment in endpoint.deployments
    }
