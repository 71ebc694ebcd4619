"""Brings one instance up: model on disk, process, readiness, golden answer; or says why not."""

import asyncio
import random
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import msgspec
import structlog

from infra.ports import LOOPBACK, free_port, is_free
from schemas.identifiers import Kind, new_id
from serving.runtime.admission import MemoryShortError
from serving.runtime.load_failure import find_failure
from workers.serving_agent.artifacts import ModelShelf, disk_failure
from workers.serving_agent.desired import Deployment
from workers.serving_agent.engine_client import EngineClient
from workers.serving_agent.engine_process import EngineProcess, find_engine, start_engine
from workers.serving_agent.errors import CannotServeError, MayServeLaterError, NeverServesError, PartAwayError
from workers.serving_agent.instance_book import InstanceBook, InstanceRecord
from workers.serving_agent.reconcile import Slot
from workers.serving_agent.settings import AgentSettings
from workers.serving_agent.spool_sources import SpoolSource, write_source

_POLL_S = 0.05
_ADOPTION_TRIES = 20
_ADOPTION_PAUSE_S = 0.25
_KILL_AFTER_S = 5.0
_RANDOM_BITS = 80

_log = structlog.get_logger(__name__)


class RunningInstance(msgspec.Struct, frozen=True):
    """A process that answers as it should, under its record."""

    record: InstanceRecord
    process: EngineProcess
    client: EngineClient


class InstanceStarter:
    """Starts and adopts; each call concerns one slot, and slots may be started side by side."""

    def __init__(
        self, settings: AgentSettings, *, shelf: ModelShelf, book: InstanceBook, environ: Mapping[str, str]
    ) -> None:
        self._settings = settings
        self._shelf = shelf
        self._book = book
        self._environ = environ

    def record_of(self, slot: Slot, deployment: Deployment, *, now_ms: int) -> InstanceRecord:
        """Return the record of a slot; a slot that is filled for the first time gets its lasting port and id.

        Raises:
            MayServeLaterError: the record can't be written.
        """
        known = self._book.get(slot)
        if known is not None and (known.boot_id or is_free(known.port)):
            return known
        port = free_port(avoid=self._book.ports())
        randomness = random.SystemRandom().getrandbits(_RANDOM_BITS)
        instance_id = known.instance_id if known else new_id(Kind.INSTANCE, now_ms=now_ms, randomness=randomness)
        record = InstanceRecord(slot=slot, endpoint_id=deployment.endpoint_id, instance_id=instance_id, port=port)
        return self._remember(record)

    async def adopt(self, record: InstanceRecord, deployment: Deployment | None) -> RunningInstance | None:
        """Take over the process on record if it is still ours, ending it where it does not answer as it should."""
        client = EngineClient(host=LOOPBACK, port=record.port)
        process = await self._find(record, client)
        try:
            if process is not None and deployment is not None:
                await self._until_ready(record, process, client)
                if deployment.golden is not None:
                    await client.check_golden(deployment.endpoint, deployment.golden)
        except (CannotServeError, PartAwayError) as error:
            _log.warning("instance_not_adopted", instance_id=record.instance_id, reason=str(error))
            assert process is not None, "only a process can fail to answer"
            await process.stop(deadline_s=_KILL_AFTER_S)
        if process is None or process.has_ended:
            await client.close()
            return None
        _log.info("instance_adopted", instance_id=record.instance_id, boot_id=record.boot_id, pid=process.pid)
        return RunningInstance(record, process, client)

    async def start(self, record: InstanceRecord, deployment: Deployment) -> RunningInstance:
        """Start a process in the slot and wait until it answers its golden input.

        Raises:
            NeverServesError: the version is at fault.
            MayServeLaterError: this host is. In both cases no process is left.
        """
        model = await self._shelf.lay(deployment)
        record, process = self._spawn(record, deployment, model)
        client = EngineClient(host=LOOPBACK, port=record.port)
        try:
            record = self._remember(
                msgspec.structs.replace(record, pid=process.pid, process_started_at=process.started_at)
            )
            await self._until_ready(record, process, client)
            if deployment.golden is not None:
                await client.check_golden(deployment.endpoint, deployment.golden)
        except BaseException as error:
            await process.stop(deadline_s=_KILL_AFTER_S)
            await client.close()
            self.ended(record)
            if isinstance(error, PartAwayError):
                raise MayServeLaterError("engine-died", str(error)) from error
            raise
        return RunningInstance(record, process, client)

    def ended(self, record: InstanceRecord) -> InstanceRecord:
        """Note that a slot's process has ended; from then on its spool is complete."""
        try:
            return self._remember(record.without_process())
        except MayServeLaterError as error:
            # Memory has it; after a crash the adoption finds no such process.
            _log.error("instances_not_saved", reason=error.reason)
            return record.without_process()

    def spool(self, boot_id: str) -> Path:
        """Return the spool directory of a boot."""
        return self._settings.directory / "spool" / boot_id

    def _spawn(
        self, record: InstanceRecord, deployment: Deployment, model: Path
    ) -> tuple[InstanceRecord, EngineProcess]:
        boot_id = f"boot-{uuid4()}"
        source = SpoolSource(
            boot_id=boot_id,
            workspace=deployment.workspace,
            endpoint_id=deployment.endpoint_id,
            deployment_id=deployment.id,
            version_id=deployment.version.version_id,
            instance_id=record.instance_id,
        )
        settings = {
            "ROLLBOOK_RUNTIME_HOST": LOOPBACK,
            "ROLLBOOK_RUNTIME_PORT": str(record.port),
            "ROLLBOOK_RUNTIME_MODEL_DIR": str(model),
            "ROLLBOOK_RUNTIME_MODEL_NAME": deployment.endpoint,
            "ROLLBOOK_RUNTIME_SPOOL_DIR": str(self.spool(boot_id)),
            "ROLLBOOK_RUNTIME_CAPTURE_FILE": str(self._settings.capture_file_of(deployment.endpoint_id)),
            "ROLLBOOK_RUNTIME_MAX_BODY_BYTES": str(self._settings.max_body_bytes),
            "ROLLBOOK_RUNTIME_BOOT_ID": boot_id,
            "ROLLBOOK_RUNTIME_INSTANCE_ID": record.instance_id,
            "ROLLBOOK_RUNTIME_WATCH_PID": str(self._settings.supervisor_pid),
        }
        if self._settings.otlp_endpoint:
            settings["ROLLBOOK_RUNTIME_OTLP_ENDPOINT"] = self._settings.otlp_endpoint
        # The boot is on record before its spool exists, so that a spool without a boot is always complete.
        record = self._remember(msgspec.structs.replace(record, boot_id=boot_id))
        try:
            write_source(self.spool(boot_id), source)
            process = start_engine(settings, environ=self._environ, log=self._log_of(record))
        except OSError as error:
            self.ended(record)
            raise disk_failure(error) from error
        _log.info("engine_started", instance_id=record.instance_id, boot_id=boot_id, pid=process.pid, port=record.port)
        return record, process

    async def _find(self, record: InstanceRecord, client: EngineClient) -> EngineProcess | None:
        if record.pid:
            return find_engine(record.pid, started_at=record.process_started_at)
        if not record.boot_id:
            return None
        # The agent died between starting a process and noting its id; the process itself knows whose it is.
        for _ in range(_ADOPTION_TRIES):
            with suppress(PartAwayError, ProcessLookupError):
                identity = await client.identity()
                return EngineProcess(identity.pid, child=None) if identity.boot_id == record.boot_id else None
            await asyncio.sleep(_ADOPTION_PAUSE_S)
        return None

    async def _until_ready(self, record: InstanceRecord, process: EngineProcess, client: EngineClient) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._settings.start_deadline_s
        while not await client.is_ready():
            if process.has_ended:
                raise self._why_ended(record)
            if loop.time() > deadline:
                seconds = self._settings.start_deadline_s
                raise MayServeLaterError("never-ready", f"the engine was not ready after {seconds:g} s")
            await process.wait(_POLL_S)
        identity = await client.identity()
        if (identity.boot_id, identity.pid) != (record.boot_id, process.pid):
            raise MayServeLaterError("port-taken", f"another process answers at port {record.port}")

    def _why_ended(self, record: InstanceRecord) -> NeverServesError | MayServeLaterError:
        failure = find_failure(self.spool(record.boot_id))
        if failure is None:
            log = self._log_of(record).name
            return MayServeLaterError("engine-died", f"the engine ended before it was ready; its log is {log}")
        if failure.code == MemoryShortError.code:
            return MayServeLaterError(failure.code, failure.reason)
        return NeverServesError(failure.code, failure.reason)

    def _remember(self, record: InstanceRecord) -> InstanceRecord:
        try:
            self._book.put(record)
        except OSError as error:
            raise disk_failure(error) from error
        return record

    def _log_of(self, record: InstanceRecord) -> Path:
        folder = self._settings.data_dir.absolute() / "logs"
        # Agents of several regions on one machine share the folder.
        where = "" if self._settings.agent_id == "local" else f"{self._settings.agent_id}-"
        return folder / f"engine-{where}{record.slot.deployment_id[-12:]}-{record.slot.replica}.log"
