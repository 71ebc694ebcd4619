"""One slot that meets a bug is kept again by the next keeper, and the other slots go on."""

import asyncio
from collections import Counter
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import pytest

from workers.serving_agent import agent as module
from workers.serving_agent.agent import ServingAgent
from workers.serving_agent.reconcile import Slot

BROKEN, WELL = Slot("broken", 0), Slot("well", 0)


class Keeper:
    """Breaks at the first run of one slot."""

    runs: ClassVar[Counter[Slot]] = Counter()
    is_healthy = True

    def __init__(self, slot: Slot, *_: object, **__: object) -> None:
        self._slot = slot
        self._retired = asyncio.Event()

    def retire(self) -> None:
        self._retired.set()

    async def run(self) -> None:
        self.runs[self._slot] += 1
        if self._slot == BROKEN and self.runs[self._slot] == 1:
            raise ZeroDivisionError
        await self._retired.wait()


async def test_a_slot_that_meets_a_bug_is_kept_again(monkeypatch: pytest.MonkeyPatch) -> None:
    desired = SimpleNamespace(
        deployments={},
        captures={},
        announced={},
        is_complete=True,
        is_known=True,
        wanted_replicas=lambda: {"broken": 1, "well": 1},
    )
    monkeypatch.setattr(module, "DesiredState", lambda *_, **__: desired)
    monkeypatch.setattr(module, "InstanceKeeper", Keeper)
    monkeypatch.setattr(module, "_BROKEN_PAUSE_S", 0.01)
    parts = SimpleNamespace(
        settings=SimpleNamespace(agent_id="agent", region="local"),
        book=SimpleNamespace(instance_ids=dict),
        shelf=SimpleNamespace(models=frozenset),
        captures=SimpleNamespace(hand_over=lambda _: None),
    )

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        agent = ServingAgent(cast("Any", parts), group)
        agent.settle()
        while Keeper.runs[BROKEN] < 2:
            await asyncio.sleep(0.01)
        assert agent.instances_by_state()["healthy"] == 2
        await agent.stop()

    assert Keeper.runs == {BROKEN: 2, WELL: 1}
