"""Starts one instance: model on disk, process, readiness, golden answer; or says why not."""

import asyncio
import random
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import msgspec
import structlog

from infra.ports import free_port, is_free
from schemas.identifiers import Kind, new_id
from serving.runtime.admission import MemoryShortError
from serving.runtime.load_failure import find_failure
from workers.serving_agent.artifacts import ModelShelf, disk_failure
from workers.serving_agent.desired import Deployment
from workers.serving_agent.engine_client import EngineClient
from workers.serving_agent.engine_confinement import bounded, confinement_of_several
from workers.serving_agent.engine_log import quote_log_end
from workers.serving_agent.engine_process import (
    EngineProcess,
    Process,
    end_session,
    find_engine,
    settings_of,
    start_engine,
)
from workers.serving_agent.errors import (
    CannotServeError,
    EngineFaultError,
    MayServeLaterError,
    NeverServesError,
    PartAwayError,
)
from workers.serving_agent.fork_server import ForkServer
from workers.serving_agent.instance_book import InstanceBook, InstanceRecord
from workers.serving_agent.launchers.base import Command, Launcher, Order
from workers.serving_agent.launchers.runtime_launcher import FORK_SERVER, SLOW_LIBRARIES
from workers.serving_agent.launchers.table import Launchers
from workers.serving_agent.reconcile import Slot
from workers.serving_agent.settings import AgentSettings
from workers.serving_agent.shared_processes import Kin, SharedProcesses, number_of
from workers.serving_agent.spool_sources import SpoolSource, folder_of_engine, frames_of, write_source

_POLL_S = 0.05
_ADOPTION_TRIES = 20
_ADOPTION_PAUSE_S = 0.25
_KILL_AFTER_S = 5.0
_RANDOM_BITS = 80

_log = structlog.get_logger(__name__)


class RunningInstance(msgspec.Struct, frozen=True):
    """A process that answers as it should, and its record."""

    record: InstanceRecord
    process: Process
    client: EngineClient
    drain_deadline_s: float


class NotAdopted(msgspec.Struct, frozen=True):
    """Why there is no process; one that did not answer as it should was ended."""

    reason: str


class InstanceStarter:
    """Starts and adopts; each call is for one slot, and slots can be started concurrently."""

    def __init__(
        self, settings: AgentSettings, *, shelf: ModelShelf, book: InstanceBook, environ: Mapping[str, str]
    ) -> None:
        self._settings = settings
        self._fork_server = ForkServer(FORK_SERVER, environ=environ, log=self._log_named("fork-server", ""))
        self._launchers = Launchers(settings, book)
        self._shared = SharedProcesses(
            limit=settings.models_per_process,
            supervisor_pid=settings.supervisor_pid,
            start=self._start_shared,
            confinement=lambda kin: bounded(confinement_of_several(settings, workspace=kin.workspace)),
        )
        self._shelf = shelf
        self._book = book
        self._environ = environ

    def record_of(self, slot: Slot, deployment: Deployment, *, now_ms: int) -> InstanceRecord:
        """Return the record of a slot; a slot that is filled for the first time gets its permanent port and id.

        Raises:
            MayServeLaterError: the record cannot be written.
        """
        known = self._book.get(slot)
        if known is not None and (known.boot_id or is_free(known.port, host=str(self._settings.bind_host))):
            return known
        port = free_port(avoid=self._book.ports())
        randomness = random.SystemRandom().getrandbits(_RANDOM_BITS)
        instance_id = known.instance_id if known else new_id(Kind.INSTANCE, now_ms=now_ms, randomness=randomness)
        record = InstanceRecord(
            slot=slot,
            endpoint_id=deployment.endpoint_id,
            instance_id=instance_id,
            port=port,
            workspace=deployment.workspace,
        )
        return self._remember(record)

    async def adopt(self, record: InstanceRecord, deployment: Deployment | None) -> RunningInstance | NotAdopted:
        """Take over the process on record if it is still ours, ending it if it does not answer as it should."""
        launcher = self._launchers.of(deployment)
        client = launcher.client(self._shelf.directory_of(record.slot.deployment_id), port=record.port)
        process = await self._find(record, client, deployment)
        reason = "the engine was gone when the agent restarted"
        if record.boot_id and (process is None or process.has_ended):
            reason = f"{reason}; {self.quote_log_end(record)}"
        try:
            if process is not None and deployment is not None:
                await self._wait_until_ready(record, process, client, launcher)
                if deployment.golden is not None:
                    await client.check_golden(deployment.endpoint, deployment.golden)
        except (CannotServeError, PartAwayError) as error:
            reason = f"when the agent restarted, {self._explained(error, record)}"
            _log.warning("instance_not_adopted", instance_id=record.instance_id, reason=reason)
            assert process is not None, "only a process can fail to answer"
            await process.stop(deadline_s=_KILL_AFTER_S)
        if process is None or process.has_ended:
            await client.close()
            return NotAdopted(reason)
        _log.info("instance_adopted", instance_id=record.instance_id, boot_id=record.boot_id, pid=process.pid)
        return RunningInstance(record, process, client, launcher.drain_deadline_s)

    async def start(self, record: InstanceRecord, deployment: Deployment, *, alone: bool = False) -> RunningInstance:
        """Start an engine in the slot and wait until it answers its golden input; with `alone` it shares no process.

        Raises:
            NeverServesError: the version is at fault.
            MayServeLaterError: this host is at fault. In both cases no process is left.
        """
        launcher = self._launchers.of(deployment)
        _log.info("instance_starts", instance_id=record.instance_id)
        model = await self._shelf.prepare(deployment)
        _log.info("model_laid", instance_id=record.instance_id)
        record, process = await self._spawn(record, deployment, model, launcher, alone=alone)
        client = launcher.client(model, port=record.port)
        try:
            record = self._remember(
                msgspec.structs.replace(record, pid=process.pid, process_started_at=process.started_at)
            )
            await self._wait_until_ready(record, process, client, launcher)
            if deployment.golden is not None:
                await client.check_golden(deployment.endpoint, deployment.golden)
        except BaseException as error:
            # Read before the process ends, because its last lines would only say that it was asked to.
            try:
                failure = self._failure(error, record, has_died=await _has_died(error, client))
            finally:
                await process.stop(deadline_s=_KILL_AFTER_S)
                await client.close()
                self.ended(record)
            if failure is not None:
                raise failure from error
            raise
        return RunningInstance(record, process, client, launcher.drain_deadline_s)

    def ended(self, record: InstanceRecord) -> InstanceRecord:
        """Note that a slot's process has ended; from then on its spool is complete."""
        end_session(record.pid)
        try:
            return self._remember(record.without_process())
        except MayServeLaterError as error:
            # It is in memory; after a crash, adoption finds no such process.
            _log.error("instances_not_saved", reason=error.reason)
            return record.without_process()

    async def warm(self) -> None:
        """Prepare for quick starts of engines; they may be started before this is done."""
        if self._settings.fork_engines and self._settings.preload_libraries:
            await self._fork_server.warm(SLOW_LIBRARIES)

    async def close(self) -> None:
        """Release what starts engines; the engines continue."""
        await self._fork_server.close()

    def quote_log_end(self, record: InstanceRecord) -> str:
        """Quote the end of an engine's log, for a reason that does not explain itself."""
        return quote_log_end(self._log_of(record), instance_id=record.instance_id)

    def spool(self, boot_id: str) -> Path:
        """Return the spool directory of a boot."""
        return self._settings.directory / "spool" / boot_id

    async def _spawn(
        self, record: InstanceRecord, deployment: Deployment, model: Path, launcher: Launcher, *, alone: bool
    ) -> tuple[InstanceRecord, Process]:
        boot_id = f"boot-{uuid4()}"
        source = SpoolSource(
            boot_id=boot_id,
            workspace=deployment.workspace,
            endpoint_id=deployment.endpoint_id,
            deployment_id=deployment.id,
            version_id=deployment.version.version_id,
            instance_id=record.instance_id,
        )
        record = msgspec.structs.replace(record, boot_id=boot_id)
        order = Order(
            deployment=deployment,
            model=model,
            record=record,
            spool=folder_of_engine(self.spool(boot_id)),
            capture=self._settings.capture_file_of(deployment.endpoint_id, workspace=deployment.workspace),
            scratch=self._shelf.scratch_of(deployment.id),
        )
        command = launcher.command(order)
        # The boot is on record before its spool exists, so that a spool without a boot is always complete.
        record = self._remember(msgspec.structs.replace(record, is_confined=command.confinement is not None))
        try:
            write_source(self.spool(boot_id), source, is_of_engine=True)
            record, process = await self._run(command, record, deployment, alone=alone)
        except BaseException as error:
            self.ended(record)
            if isinstance(error, OSError):
                raise disk_failure(error) from error
            raise
        _log.info("engine_started", instance_id=record.instance_id, boot_id=boot_id, pid=process.pid, port=record.port)
        return record, process

    async def _run(
        self, command: Command, record: InstanceRecord, deployment: Deployment, *, alone: bool
    ) -> tuple[InstanceRecord, Process]:
        if alone or not command.may_share or self._settings.models_per_process == 1:
            return record, await self._start(command, log=self._log_of(record))
        seat = await self._shared.seat(_kin_of(deployment), record.endpoint_id, like=command)
        try:
            # On record before it starts, so that the next agent finds it whenever we die.
            record = self._remember(
                msgspec.structs.replace(
                    record, shared=seat.name, pid=seat.process.pid, process_started_at=seat.process.started_at
                )
            )
        except BaseException:
            seat.leave()
            raise
        return record, await seat.begin(settings_of(command, self._environ))

    async def _start_shared(self, command: Command, name: str) -> EngineProcess:
        return await self._start(command, log=self._log_named("engine", f"shared-{number_of(name)}"))

    async def _start(self, command: Command, *, log: Path) -> EngineProcess:
        if command.is_forked and self._settings.fork_engines:
            return await self._fork_server.start(command, log=log)
        return start_engine(command, environ=self._environ, log=log)

    async def _find(
        self, record: InstanceRecord, client: EngineClient, deployment: Deployment | None
    ) -> Process | None:
        if record.shared:
            seat = self._shared.found(record, _kin_of(deployment) if deployment else None)
            with suppress(MayServeLaterError):
                return await seat.hold(record.boot_id) if seat is not None else None
            return None
        if record.pid:
            return find_engine(record.pid, started_at=record.process_started_at)
        if not record.boot_id:
            return None
        # The agent died between starting a process and recording its id; the process itself knows whose it is.
        for _ in range(_ADOPTION_TRIES):
            with suppress(PartAwayError, ProcessLookupError):
                identity = await client.identity()
                return EngineProcess(identity.pid, child=None) if identity.boot_id == record.boot_id else None
            await asyncio.sleep(_ADOPTION_PAUSE_S)
        return None

    async def _wait_until_ready(
        self, record: InstanceRecord, process: Process, client: EngineClient, launcher: Launcher
    ) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + launcher.start_deadline_s
        while True:
            is_ready = await client.is_ready()
            if process.has_ended:
                raise self._explain_end(record)
            # An engine that was asked in time but became ready too late is not ready in time either.
            if loop.time() > deadline:
                seconds = launcher.start_deadline_s
                reason = f"the engine was not ready after {seconds:g} s; {self.quote_log_end(record)}"
                raise MayServeLaterError("never-ready", reason)
            if is_ready:
                break
            await process.wait(_POLL_S)
        identity = await client.identity()
        if (identity.boot_id, identity.pid) != (record.boot_id, process.pid):
            # Our own engine has hardly started, so its log knows nothing about the other.
            other = f"process {identity.pid}, instance {identity.instance_id}"
            raise MayServeLaterError("port-taken", f"{other}, answers on port {record.port}")

    def _failure(self, error: BaseException, record: InstanceRecord, *, has_died: bool) -> CannotServeError | None:
        """Return what to raise instead of an error that does not explain itself."""
        match error:
            case PartAwayError():
                return MayServeLaterError("engine-died", self._explained(error, record))
            case EngineFaultError() if has_died:
                return MayServeLaterError("engine-died", self._explained(error, record))
            case EngineFaultError():
                return NeverServesError(error.code, self._explained(error, record))
            case _:
                return None

    def _explained(self, error: CannotServeError | PartAwayError, record: InstanceRecord) -> str:
        match error:
            case EngineFaultError(reason=reason):
                return f"{reason}; {self.quote_log_end(record)}"
            case CannotServeError(reason=reason):
                return reason
            case _:
                return f"{error}; {self.quote_log_end(record)}"

    def _explain_end(self, record: InstanceRecord) -> NeverServesError | MayServeLaterError:
        failure = find_failure(frames_of(self.spool(record.boot_id)))
        if failure is None:
            reason = f"the engine ended before it was ready; {self.quote_log_end(record)}"
            return MayServeLaterError("engine-died", reason)
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
        if record.shared:
            return self._log_named("engine", f"shared-{number_of(record.shared)}")
        return self._log_named("engine", f"{record.slot.deployment_id[-12:]}-{record.slot.replica}")

    def _log_named(self, kind: str, name: str) -> Path:
        # Agents of several regions on one machine share the folder.
        agent = "" if self._settings.agent_id == "local" else self._settings.agent_id
        parts = [part for part in (kind, agent, name) if part]
        return self._settings.data_dir.absolute() / "logs" / f"{'-'.join(parts)}.log"


async def _has_died(error: BaseException, client: EngineClient) -> bool:
    """Return whether an engine that failed on its golden input fails on everything since.

    The front of a language model's engine may outlive the process that computes, by a moment, and answer 500 for it.
    """
    return isinstance(error, EngineFaultError) and not await client.is_live()


def _kin_of(deployment: Deployment) -> Kin:
    return Kin(deployment.workspace, deployment.artifact.format)
