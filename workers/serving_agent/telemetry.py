"""Measures the instances of this host and the host itself every few seconds, and spools the results."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from uuid import uuid4

import httpx
import msgspec
import psutil
import structlog

from infra.clock import Clock
from infra.stack.addresses import LOOPBACK
from serving.capture.records import Mark
from serving.capture.spool import SpoolLimits, SpoolWriter
from workers.serving_agent.engine_measures import OPEN_METRICS, engine_measures
from workers.serving_agent.gpus import Gpus
from workers.serving_agent.instance_book import InstanceRecord
from workers.serving_agent.spool_sources import SpoolSource, write_source
from workers.serving_agent.telemetry_records import Sample, Subject, encode

_TIMEOUT_S = 2.0
_AT_ONCE = 16
_SHARE_OF_TIME = 9
_MAX_METRICS_BYTES = 4 * 1024 * 1024
_LIMITS = SpoolLimits(max_bytes=32 * 1024**2, segment_bytes=1024**2)

_log = structlog.get_logger(__name__)


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """An instance that runs here, and the workspace that it belongs to."""

    record: InstanceRecord
    workspace: str


class Telemetry:
    """One boot of the agent is one source. Used from one event loop; the disk and /proc are read in a thread."""

    def __init__(
        self,
        directory: Path,
        *,
        host_id: str,
        region: str,
        clock: Clock,
        instances: Callable[[], Iterable[Looked]],
        engine_host: str = LOOPBACK,
    ) -> None:
        self.boot_id = f"telemetry-{uuid4()}"
        self._directory = directory
        self._host = Subject(subject="host", subject_id=host_id, boot_id=self.boot_id, region=region)
        self._region = region
        self._clock = clock
        self._instances = instances
        self._engine_host = engine_host
        # Without a proxy, because the engines are on this host.
        self._client = httpx.AsyncClient(timeout=_TIMEOUT_S, trust_env=False)
        self._processes: dict[int, psutil.Process] = {}
        self._gpus = Gpus()
        self._has_looked = False
        blank = dict.fromkeys(("workspace", "endpoint_id", "deployment_id", "version_id", "instance_id"), "")
        write_source(self.spools / self.boot_id, SpoolSource(boot_id=self.boot_id, **blank), is_of_engine=False)
        # Samples have no detail that could be dropped first.
        self._writer = SpoolWriter(self.spools / self.boot_id, limits=_LIMITS, without_detail=lambda payload: payload)

    @property
    def spools(self) -> Path:
        """Where the spools of this and earlier boots are."""
        return self._directory / "telemetry"

    async def run(self, *, interval_s: float) -> None:
        """Look forever."""
        while True:
            began = self._clock.monotonic()
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001  the task's outermost level: the agent continues, and measures again
                expected = isinstance(error, OSError)
                _log.error("telemetry_not_taken", exc_info=None if expected else error, reason=str(error))
            # With many instances a look takes long; it may use a tenth of the time at most.
            await asyncio.sleep(max(interval_s, _SHARE_OF_TIME * (self._clock.monotonic() - began)))

    async def look(self) -> None:
        """Measure everything once, and spool it with a mark that it is complete."""
        instances = list(self._instances())
        places = asyncio.Semaphore(_AT_ONCE)

        async def measured(one: Looked) -> dict[str, float]:
            async with places:
                return await self._engine(one.record.port)

        found = await asyncio.gather(*(measured(one) for one in instances))
        # One time for everything that a look found, so that the mark after it covers it.
        now_ms = self._clock.now_ms()
        await asyncio.to_thread(self._write, instances, found, now_ms)

    async def close(self) -> None:
        """Close the connections and the open segment."""
        await self._client.aclose()
        self._writer.close()

    async def _engine(self, port: int) -> dict[str, float]:
        """Ask an engine for its metrics; return none if it does not answer or offers none."""
        try:
            answer = await self._client.get(
                f"http://{self._engine_host}:{port}/metrics",
                headers={"accept": f"{OPEN_METRICS};version=1.0.0,text/plain;q=0.5"},
            )
            if not answer.is_success or len(answer.content) > _MAX_METRICS_BYTES:
                return {}
            text = answer.content.decode(errors="replace")
            return engine_measures(text, answer.headers.get("content-type", ""))
        except Exception as error:  # noqa: BLE001  an external server may write anything; the others are still measured
            _log.debug("engine_not_measured", port=port, reason=repr(error))
            return {}

    def _write(self, instances: list[Looked], found: list[dict[str, float]], now_ms: int) -> None:
        samples = [Sample(self._host, now_ms, self._of_host())]
        families = _families(frozenset(one.record.pid for one in instances))
        # If several instances share a process, each is reported with an equal part of it.
        sharing = Counter(one.record.pid for one in instances)
        processes = {
            pid: {name: value / sharing[pid] for name, value in self._of_processes(family).items()}
            for pid, family in families.items()
        }
        for one, engine in zip(instances, found, strict=True):
            values = {**processes.get(one.record.pid, {}), **engine}
            if values:
                samples.append(Sample(self._subject(one), now_ms, values))
        self._has_looked = True
        self._processes = {pid: seen for pid, seen in self._processes.items() if seen.is_running()}
        self._writer.append([*(encode(sample) for sample in samples), encode(Mark(now_ms))])

    def _subject(self, one: Looked) -> Subject:
        record = one.record
        return Subject(
            subject="instance",
            subject_id=record.instance_id,
            boot_id=record.boot_id,
            region=self._region,
            workspace=one.workspace,
            endpoint_id=record.endpoint_id,
            deployment_id=record.slot.deployment_id,
        )

    def _of_host(self) -> dict[str, float]:
        memory = psutil.virtual_memory()
        return {
            # The first look has nothing to compare with, so psutil's 0 is not a measurement.
            **({"cpu_percent": psutil.cpu_percent() * psutil.cpu_count()} if self._has_looked else {}),
            "memory_bytes": float(memory.total - memory.available),
            "memory_limit_bytes": float(memory.total),
            "disk_free_bytes": float(psutil.disk_usage(str(self._directory)).free),
            "spool_bytes": float(sum(map(_size, self._directory.glob("spool/*/*")))),
            **self._gpus.of_host(),
        }

    def _of_processes(self, family: Sequence[psutil.Process]) -> dict[str, float]:
        """Measure an engine's process and its children; without processor time at the first look."""
        try:
            memory = float(sum(one.memory_info().rss for one in family))
            known = [self._processes.get(one.pid) for one in family]
            fresh = [one for one, before in zip(family, known, strict=True) if before != one]
            busy = [before.cpu_percent() for one, before in zip(family, known, strict=True) if before == one and before]
            for one in fresh:
                one.cpu_percent()
                self._processes[one.pid] = one
            gpus = self._gpus.of_processes({one.pid for one in family})
        except psutil.Error:
            return {}
        return {"memory_bytes": memory, **({"cpu_percent": sum(busy)} if busy else {}), **gpus}


def _families(pids: frozenset[int]) -> dict[int, list[psutil.Process]]:
    """Return each process that exists with all its descendants, in one pass over the host's processes."""
    there: dict[int, psutil.Process] = {}
    children: dict[int, list[int]] = {}
    for process in psutil.process_iter():
        try:
            parent = process.ppid()
        except psutil.Error:
            continue
        there[process.pid] = process
        children.setdefault(parent, []).append(process.pid)
    families: dict[int, list[psutil.Process]] = {}
    for pid in pids & there.keys():
        family = [pid]
        for member in family:
            family += children.get(member, ())
        families[pid] = [there[member] for member in family]
    return families


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        # It was just shipped and deleted.
        return 0
