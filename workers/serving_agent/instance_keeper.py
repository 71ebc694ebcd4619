"""Keeps one slot filled: starts or adopts, announces, watches, withdraws and restarts, until it is retired."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import structlog

from schemas.instances import AnnounceInstance, FailInstance
from workers.serving_agent.desired import Deployment
from workers.serving_agent.errors import (
    CannotServeError,
    MayServeLaterError,
    NeverServesError,
    PartAwayError,
    RefusedError,
)
from workers.serving_agent.health import Health, Sickness, observe, pause_before_next_s, sickness
from workers.serving_agent.instance_book import InstanceRecord
from workers.serving_agent.instance_start import RunningInstance
from workers.serving_agent.parts import AgentParts
from workers.serving_agent.probing import probe
from workers.serving_agent.reconcile import Slot

_FIRST_PAUSE_S = 0.25
_MAX_PAUSE_S = 30.0
_REPORT_AFTER_FAILURES = 3
_ALONE_AFTER_FAILURES = 2
_HEALTHY_AFTER_S = 60.0
_KILL_AFTER_S = 1.0
_ROUTES_SETTLE_S = 0.5
_DRAIN_POLL_S = 0.1
_WITHDRAW_AT_STOP_S = 3.0

_log = structlog.get_logger(__name__)

Result = TypeVar("Result")


class InstanceKeeper:
    """One slot of one deployment. `run` ends when the slot is retired and empty; it never raises for a bad model."""

    def __init__(
        self,
        slot: Slot,
        deployment: Deployment | None,
        parts: AgentParts,
        *,
        has_healthy_sibling: Callable[[], bool],
    ) -> None:
        self._slot = slot
        self._deployment = deployment
        self._with = parts
        self._retiring = asyncio.Event()
        self._has_healthy_sibling = has_healthy_sibling
        self._health: Health | None = None
        self._has_served = False
        self._failures = 0
        self._reported: set[str] = set()
        self._is_announced = False
        self._withdrawal: asyncio.Task[None] | None = None

    @property
    def is_healthy(self) -> bool:
        """Return whether an instance serves here whose last probe was not a fault."""
        return self._health is not None and self._health.faults == 0

    def retire(self) -> None:
        """Withdraw, drain and stop; `run` then ends."""
        self._retiring.set()

    async def run(self) -> None:
        """Keep the slot filled until it is retired; then leave it empty."""
        with structlog.contextvars.bound_contextvars(
            deployment_id=self._slot.deployment_id, replica=self._slot.replica
        ):
            running = await self._adopt()
            while not self._retiring.is_set() and self._deployment is not None:
                running = running or await self._started(self._deployment)
                if running is not None:
                    sick = await self._serve(running, self._deployment)
                    if sick is not None:
                        await self._condemn(running, sick)
                    if running.process.has_ended:
                        await self._lost(running)
                        running = None
                elif not self._retiring.is_set():
                    await self._pause()
            if running is not None:
                await self._empty(running)
            await self._withdrawn()
            self._forget()

    async def _adopt(self) -> RunningInstance | None:
        record = self._with.book.get(self._slot)
        if record is None:
            return None
        # What an earlier agent announced is withdrawn with the slot, whether or not its process still exists.
        self._is_announced = True
        found = await self._with.starter.adopt(record, self._deployment)
        if isinstance(found, RunningInstance):
            return found
        self._with.starter.ended(record)
        self._withdraw_soon(record, reason=found.reason)
        return None

    async def _started(self, deployment: Deployment) -> RunningInstance | None:
        try:
            now_ms = self._with.clock.now_ms()
            record = self._with.starter.record_of(self._slot, deployment, now_ms=now_ms)
            # A model that ended a process twice within a minute, or may have, must not end a process shared with others
            # again.
            alone = self._failures >= _ALONE_AFTER_FAILURES
            return await self._unless_retired(self._with.starter.start(record, deployment, alone=alone))
        except NeverServesError as error:
            if self._has_served:
                # The same version has answered correctly here, so this host is at fault and not the version.
                await self._failed_to_start(error)
            else:
                await self._report(error)
                await self._retiring.wait()
        except MayServeLaterError as error:
            await self._failed_to_start(error)
        return None

    async def _failed_to_start(self, error: CannotServeError) -> None:
        self._failures += 1
        _log.warning("instance_not_started", code=error.code, reason=error.reason, failures=self._failures)
        is_clear = self._failures >= _REPORT_AFTER_FAILURES or error.code == "disk-full"
        if is_clear and error.code not in self._reported:
            self._reported.add(error.code)
            await self._report(error)

    async def _serve(self, running: RunningInstance, deployment: Deployment) -> Sickness | None:
        """Announce, and return when the process has ended or is unhealthy, or the slot is to be emptied."""
        self._has_served = True
        announcing = self._with.background.task("agent-announces", partial(self._announce, running.record))
        try:
            return await self._watch(running, deployment)
        finally:
            self._health = None
            await _ended(announcing)

    async def _watch(self, running: RunningInstance, deployment: Deployment) -> Sickness | None:
        began, rules = self._with.clock.monotonic(), self._with.settings.health_rules
        health = self._health = Health()
        pause_s = rules.interval_s
        while True:
            await self._unless_retired(running.process.wait(pause_s))
            if self._retiring.is_set() or running.process.has_ended:
                return None
            asked = probe(running.client, deployment, timeout_s=rules.timeout_s, clock=self._with.clock)
            outcome = await self._unless_retired(asked)
            if outcome is None or running.process.has_ended:
                return None
            health = self._health = observe(health, outcome, rules)
            _log.debug("instance_probed", instance_id=running.record.instance_id, faults=health.faults)
            pause_s = pause_before_next_s(health, outcome, rules, draw=random.random())  # noqa: S311 - guards nothing
            found = sickness(health, rules, has_healthy_sibling=self._has_healthy_sibling())
            if found is not None:
                return found
            if not health.faults and self._with.clock.monotonic() - began > _HEALTHY_AFTER_S:
                self._failures = 0

    async def _condemn(self, running: RunningInstance, found: Sickness) -> None:
        """Withdraw an unhealthy instance and end its process; kill a hung one at once, so that requests are retried."""
        reason = self._with_log_end(found.reason, running.record) if found.is_in_log else found.reason
        _log.error("instance_unhealthy", instance_id=running.record.instance_id, code=found.code, reason=reason)
        self._withdraw_soon(running.record, reason=reason, code=found.code)
        deadline_s = _KILL_AFTER_S if found.code == "instance-hung" else running.drain_deadline_s
        if found.code != "instance-hung" and self._withdrawal is not None:
            await asyncio.wait({self._withdrawal}, timeout=_WITHDRAW_AT_STOP_S)
            await asyncio.sleep(_ROUTES_SETTLE_S)
        while not running.process.has_ended:
            await running.process.stop(deadline_s=deadline_s)

    async def _lost(self, running: RunningInstance) -> None:
        self._failures += 1
        reason = self._with_log_end("the engine's process ended", running.record)
        _log.error("engine_ended", instance_id=running.record.instance_id, pid=running.process.pid, reason=reason)
        await running.client.close()
        self._with.starter.ended(running.record)
        self._withdraw_soon(running.record, reason=reason)
        if not self._retiring.is_set():
            await self._pause()

    async def _empty(self, running: RunningInstance) -> None:
        self._withdraw_soon(running.record, reason="the deployment is no longer placed on this host")
        await self._withdrawn()
        # The gateway learns of the withdrawal from the log; what it sent until then is still answered.
        await asyncio.sleep(_ROUTES_SETTLE_S)
        deadline = asyncio.get_running_loop().time() + running.drain_deadline_s
        while asyncio.get_running_loop().time() < deadline and not running.process.has_ended:
            try:
                if (await running.client.identity()).in_flight == 0:
                    break
            except PartAwayError:
                break
            await asyncio.sleep(_DRAIN_POLL_S)
        await running.process.stop(deadline_s=running.drain_deadline_s)
        await running.client.close()
        self._with.starter.ended(running.record)
        _log.info("instance_stopped", instance_id=running.record.instance_id)

    async def _announce(self, record: InstanceRecord) -> None:
        settings = self._with.settings
        announcement = AnnounceInstance(
            instance_id=record.instance_id,
            endpoint_id=record.endpoint_id,
            deployment_id=self._slot.deployment_id,
            agent_id=settings.agent_id,
            boot_id=record.boot_id,
            host=settings.hosts.announced,
            port=record.port,
            region=settings.region,
            zone=settings.zone,
        )
        await self._withdrawn()
        # From the first attempt on it may be in the log, answered or not.
        self._is_announced = True
        try:
            await self._with.control_plane.within(record.workspace).announce(announcement)
            self._reported.clear()
            _log.info("instance_announced", instance_id=record.instance_id, boot_id=record.boot_id)
        except RefusedError as error:
            _log.error("announcement_refused", instance_id=record.instance_id, reason=str(error))

    def _withdraw_soon(self, record: InstanceRecord, *, reason: str, code: str | None = None) -> None:
        """Withdraw during the restart: while the control plane is unavailable, the same port may serve again first."""
        if self._is_announced:
            work = partial(self._withdraw, record, after=self._withdrawal, reason=reason, code=code)
            self._withdrawal = self._with.background.task("agent-withdraws", work)

    def _with_log_end(self, reason: str, record: InstanceRecord) -> str:
        return f"{reason}; {self._with.starter.quote_log_end(record)}"

    async def _withdraw(
        self, record: InstanceRecord, *, after: asyncio.Task[None] | None, reason: str, code: str | None
    ) -> None:
        if after is not None:
            await after
        if not self._is_announced:
            return
        try:
            control_plane = self._with.control_plane.within(record.workspace)
            await control_plane.withdraw(record.instance_id, reason=reason, code=code)
            self._is_announced = False
        except RefusedError as error:
            _log.warning("instance_not_withdrawn", instance_id=record.instance_id, reason=str(error))

    async def _withdrawn(self) -> None:
        """Wait until a withdrawal in progress is recorded; at shutdown the engine is stopped in any case.

        What is left then is disowned by the next agent.
        """
        if self._withdrawal is None:
            return
        limit = _WITHDRAW_AT_STOP_S if self._retiring.is_set() else None
        await asyncio.wait({self._withdrawal}, timeout=limit)
        if self._retiring.is_set():
            await _ended(self._withdrawal)

    def _forget(self) -> None:
        try:
            self._with.book.forget(self._slot)
        except OSError as error:
            _log.error("instances_not_saved", reason=str(error))

    async def _report(self, error: CannotServeError) -> None:
        _log.error("instance_failed", code=error.code, reason=error.reason)
        record = self._with.book.get(self._slot)
        if record is None or self._deployment is None:
            return
        failure = FailInstance(
            endpoint_id=self._deployment.endpoint_id,
            deployment_id=self._deployment.id,
            agent_id=self._with.settings.agent_id,
            code=error.code,
            reason=error.reason,
        )
        try:
            control_plane = self._with.control_plane.within(record.workspace)
            await self._unless_retired(control_plane.fail(record.instance_id, failure))
        except RefusedError as refusal:
            _log.warning("failure_report_refused", reason=str(refusal))

    async def _unless_retired(self, work: Coroutine[Any, Any, Result]) -> Result | None:
        """Abandon work and return None if the slot is retired meanwhile."""
        task, asked = asyncio.ensure_future(work), asyncio.ensure_future(self._retiring.wait())
        try:
            await asyncio.wait({task, asked}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            return None
        finally:
            asked.cancel()
            await _ended(task)

    async def _pause(self) -> None:
        pause = min(_FIRST_PAUSE_S * 2 ** max(0, self._failures - 1), _MAX_PAUSE_S)
        pause *= random.uniform(0.5, 1.5)  # noqa: S311 - keeps replicas from starting in lockstep, guards nothing
        _log.info("instance_restarts", in_s=round(pause, 2), failures=self._failures)
        try:
            await asyncio.wait_for(self._retiring.wait(), pause)
        except TimeoutError:
            return


async def _ended(task: asyncio.Future[Result]) -> None:
    """Cancel a task that is not done, and wait until it has cleaned up."""
    if not task.done():
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
