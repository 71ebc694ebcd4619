"""Joins the parts: what the documents ask for, what runs here, and a keeper for each slot."""

import asyncio
from functools import partial

import structlog

from infra.kafka.serving_state import Documents
from schemas.documents.records import StateRecord
from workers.serving_agent.desired import DesiredState
from workers.serving_agent.errors import RefusedError
from workers.serving_agent.instance_keeper import InstanceKeeper
from workers.serving_agent.parts import AgentParts
from workers.serving_agent.reconcile import Action, Actual, DiscardModel, Disown, Keep, Retire, Slot, reconcile
from workers.serving_agent.telemetry import Looked

_BROKEN_PAUSE_S = 5.0

_log = structlog.get_logger(__name__)


class ServingAgent:
    """Keeps what runs here in line with the documents. Used from one event loop; keepers run in the task group."""

    def __init__(self, parts: AgentParts, group: asyncio.TaskGroup) -> None:
        self._parts = parts
        self._group = group
        self._desired = DesiredState(agent_id=parts.settings.agent_id, region=parts.settings.region)
        self._keepers: dict[Slot, InstanceKeeper] = {}
        self._tasks: dict[Slot, asyncio.Task[None]] = {}
        self._retiring: set[Slot] = set()
        self._disowning: set[str] = set()
        self._is_stopping = False

    def take(self, read: Documents) -> None:
        """Take documents, which says what should run."""
        self._desired.take(read)

    @property
    def records(self) -> tuple[StateRecord, ...]:
        """Return the documents from which the next agent can begin."""
        return self._desired.records

    def settle(self) -> None:
        """Bring the actual state to the desired one; capture policies first, before engines are started.

        Raises:
            CaptureNotHandedOverError: a policy cannot be written.
        """
        self._hand_over_captures()
        self._reconcile()

    def looked_at(self) -> list[Looked]:
        """Return the instances that run here, with their workspaces; those of unknown deployments are left out."""
        known = self._desired.deployments
        return [
            Looked(record=record, workspace=known[record.slot.deployment_id].workspace)
            for record in self._parts.book.running()
            if record.slot.deployment_id in known
        ]

    def instances_by_state(self) -> dict[str, float]:
        """Count the slots: healthy, retiring and other."""
        healthy = sum(keeper.is_healthy for keeper in list(self._keepers.values()))
        retiring = len(self._retiring)
        return {"healthy": healthy, "retiring": retiring, "other": max(0, len(self._keepers) - healthy - retiring)}

    async def stop(self) -> None:
        """Withdraw, drain and stop every instance."""
        self._is_stopping = True
        for slot, keeper in self._keepers.items():
            self._retiring.add(slot)
            keeper.retire()
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    def _hand_over_captures(self) -> None:
        served = {deployment.endpoint_id for deployment in self._desired.deployments.values()}
        self._parts.captures.hand_over({each: self._desired.captures[each] for each in served})

    def _reconcile(self) -> None:
        desired = self._desired
        if self._is_stopping or not desired.is_known:
            return
        for action in reconcile(desired.wanted_replicas(), self._actual(desired), is_complete=desired.is_complete):
            self._do(action, desired)

    def _actual(self, desired: DesiredState) -> Actual:
        return Actual(
            kept=frozenset(self._keepers.keys() - self._retiring),
            retiring=frozenset(self._retiring),
            recorded=self._parts.book.instance_ids(),
            models=self._parts.shelf.models(),
            announced=frozenset(desired.announced.keys() - self._disowning),
        )

    def _do(self, action: Action, desired: DesiredState) -> None:
        match action:
            case Keep(slot):
                self._keep(slot, desired)
            case Retire(slot):
                if slot not in self._keepers:
                    # Left by an earlier agent: a keeper adopts it, so that it ends like any other.
                    self._keep(slot, desired)
                self._retiring.add(slot)
                self._keepers[slot].retire()
            case Disown(instance_id):
                self._disowning.add(instance_id)
                work = partial(self._disown, instance_id, desired.announced[instance_id])
                self._parts.background.task("agent-disowns", work)
            case DiscardModel(deployment_id):
                self._parts.shelf.discard(deployment_id)

    def _keep(self, slot: Slot, desired: DesiredState) -> None:
        keeper = InstanceKeeper(
            slot,
            desired.deployments.get(slot.deployment_id),
            self._parts,
            has_healthy_sibling=lambda: self._has_healthy_sibling(slot),
        )
        self._keepers[slot] = keeper
        self._tasks[slot] = self._group.create_task(self._run(slot, keeper))

    def _has_healthy_sibling(self, slot: Slot) -> bool:
        return any(
            keeper.is_healthy
            for other, keeper in self._keepers.items()
            if other.deployment_id == slot.deployment_id and other != slot and other not in self._retiring
        )

    async def _run(self, slot: Slot, keeper: InstanceKeeper) -> None:
        try:
            await keeper.run()
        except Exception:  # noqa: BLE001  one slot's outermost level
            # A bug with one slot must not end the agent for all: the next keeper adopts what runs there.
            _log.exception("slot_broken", deployment_id=slot.deployment_id, replica=slot.replica)
            await asyncio.sleep(_BROKEN_PAUSE_S)
        self._keepers.pop(slot)
        self._tasks.pop(slot)
        self._retiring.discard(slot)
        self._reconcile()

    async def _disown(self, instance_id: str, workspace: str) -> None:
        control_plane = self._parts.control_plane.within(workspace)
        try:
            await control_plane.withdraw(instance_id, reason="the agent does not know this instance")
            _log.warning("instance_disowned", instance_id=instance_id)
        except RefusedError as error:
            _log.error("instance_not_disowned", instance_id=instance_id, reason=str(error))
        finally:
            self._disowning.discard(instance_id)
