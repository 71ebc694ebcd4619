"""Measures each deployment under a policy once per interval. The autoscaler measures; the aggregate decides."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

import msgspec
import structlog

from infra.clock import Clock
from infra.kafka.serving_state import Documents
from schemas.scaling import LoadMeasurement, LoadSample, LoadWindow
from workers.autoscaler.control_plane import ScalingAnswer
from workers.autoscaler.engine_load import Counters
from workers.autoscaler.errors import PartAwayError, RefusedError
from workers.autoscaler.gateway_load import Traffic
from workers.autoscaler.looks import Reading, look_at
from workers.autoscaler.picture import Instance, Picture, Watched
from workers.autoscaler.recording import RecordedLook, Recording

_REPORTS_AT_ONCE = 8
_log = structlog.get_logger(__name__)


class Plane(Protocol):
    """What the autoscaler needs from the control plane."""

    def within(self, workspace: str) -> "Plane": ...
    async def report_load(
        self, endpoint_id: str, deployment_id: str, measurement: LoadMeasurement
    ) -> ScalingAnswer: ...


class GatewaySource(Protocol):
    """The requests that gateways have in progress."""

    async def traffic(self) -> dict[str, Traffic]: ...


class EngineSource(Protocol):
    """The engines' metrics."""

    async def counters(self, instances: Sequence[Instance]) -> dict[str, Counters]: ...


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """Where measurements come from."""

    gateways: GatewaySource
    engines: EngineSource


class Autoscaler:
    """Running two at once only measures twice: the endpoint's version settles conflicts."""

    def __init__(self, plane: Plane, sources: Sources, *, clock: Clock, recording: Recording) -> None:
        self._plane = plane
        self._sources = sources
        self._clock = clock
        self._recording = recording
        self._picture = Picture()
        self._watched: dict[str, Watched] = {}
        self._windows: dict[str, LoadWindow] = {}
        self._before: dict[str, Reading] = {}
        self.looks = 0
        self.changes = 0
        self.failures = 0

    @property
    def watched(self) -> int:
        """The number of deployments with a policy."""
        return len(self._watched)

    async def follow(self, documents: AsyncIterator[Documents], *, on_ready: Callable[[], None]) -> None:
        """Take documents until they cannot be read."""
        async for read in documents:
            self._picture.take(read)
            self._watched = self._picture.watched()
            for remembered in (self._windows, self._before):
                for deployment_id in remembered.keys() - self._watched.keys():
                    del remembered[deployment_id]
            if read.is_all:
                on_ready()

    async def look_at_all(self) -> None:
        """Measure each deployment once, and report the result."""
        if not self._watched:
            return
        traffic = await self._traffic()
        all_watched = list(self._watched.values())
        readings = await asyncio.gather(*(self._read(each, traffic) for each in all_watched))
        looks: list[tuple[Watched, LoadSample]] = []
        for watched, reading in zip(all_watched, readings, strict=True):
            looks.append((watched, look_at(reading, self._before.get(watched.deployment.id))))
            self._before[watched.deployment.id] = reading
        self.looks += len(looks)
        self.failures += sum(not sample.is_complete for _, sample in looks)
        self._record(looks)
        places = asyncio.Semaphore(_REPORTS_AT_ONCE)
        await asyncio.gather(*(self._report(each, sample, places) for each, sample in looks))

    async def _traffic(self) -> dict[str, Traffic] | None:
        try:
            return await self._sources.gateways.traffic()
        except PartAwayError as error:
            _log.warning("gateway_not_measured", error=str(error))
            return None

    async def _read(self, watched: Watched, traffic: dict[str, Traffic] | None) -> Reading:
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

    def _record(self, looks: list[tuple[Watched, LoadSample]]) -> None:
        lines = [
            RecordedLook(endpoint_id=each.endpoint_id, deployment_id=each.deployment.id, sample=sample)
            for each, sample in looks
        ]
        try:
            self._recording.append(lines)
        except OSError as error:
            _log.error("looks_not_recorded", error=str(error))

    async def _report(self, watched: Watched, sample: LoadSample, places: asyncio.Semaphore) -> None:
        deployment = watched.deployment
        measurement = self._windows.setdefault(deployment.id, LoadWindow()).measure(
            sample, window_ms=watched.policy.stabilisation_window_ms, scaling_version=deployment.scaling_version
        )
        try:
            async with places:
                plane = self._plane.within(watched.workspace)
                answer = await plane.report_load(watched.endpoint_id, deployment.id, measurement)
        except (PartAwayError, RefusedError) as error:
            self.failures += 1
            _log.warning("load_not_told", deployment_id=deployment.id, error=str(error))
            return
        if answer.is_changed:
            self.changes += 1
            _log.info("replicas_changed", deployment_id=deployment.id, replicas=answer.replicas, code=answer.code)
