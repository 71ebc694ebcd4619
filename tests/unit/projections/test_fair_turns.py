"""Who gets the next place when several principals send statements."""

import asyncio
from contextlib import suppress

import pytest

from projections.query.fair_turns import FairTurns


class Statements:
    """Statements that take turns; each runs until it is ended by hand."""

    def __init__(self, turns: FairTurns) -> None:
        self.turns = turns
        self.running: list[str] = []
        self.began: list[str] = []
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def sent(self, *names: str) -> None:
        """Send statements; the first letter says whose each is."""
        for name in names:
            self._tasks[name] = asyncio.create_task(self._run(name))
        await self._settled()

    async def ended(self, name: str) -> None:
        self.running.remove(name)
        self.turns.release(name[0])
        await self._settled()

    async def given_up(self, name: str) -> None:
        self._tasks[name].cancel()
        await self._settled()

    async def all_ended(self) -> None:
        while self.running:
            await self.ended(self.running[0])

    async def _run(self, name: str) -> None:
        await self.turns.acquire(name[0])
        self.began.append(name)
        self.running.append(name)

    async def _settled(self) -> None:
        for _ in range(3):
            await asyncio.sleep(0)


def statements(*, at_once: int, at_once_each: int) -> Statements:
    return Statements(FairTurns(at_once=at_once, at_once_each=at_once_each))


async def test_a_principal_has_no_more_places_than_its_share() -> None:
    seen = statements(at_once=2, at_once_each=1)

    await seen.sent("a1", "a2", "a3")

    assert (seen.running, seen.turns.waiting_of("a")) == (["a1"], 2)


async def test_a_place_is_left_for_another_principal() -> None:
    seen = statements(at_once=2, at_once_each=1)
    await seen.sent("a1", "a2", "a3")

    await seen.sent("b1")

    assert seen.running == ["a1", "b1"]


async def test_one_who_comes_late_waits_for_one_statement_of_another() -> None:
    seen = statements(at_once=2, at_once_each=2)
    await seen.sent(*(f"a{number}" for number in range(10)))

    await seen.sent("b0")
    await seen.ended("a0")

    assert seen.running == ["a1", "b0"]


async def test_those_who_wait_take_turns() -> None:
    seen = statements(at_once=1, at_once_each=1)

    await seen.sent("a1", "a2", "a3", "b1", "b2", "c1")
    await seen.all_ended()

    assert seen.began == ["a1", "b1", "c1", "a2", "b2", "a3"]


async def test_one_who_sends_again_at_once_does_not_overtake_those_who_wait() -> None:
    seen = statements(at_once=1, at_once_each=1)
    await seen.sent("a1", "b1", "c1", "c2")

    for name, again in (("a1", "a2"), ("b1", "b2"), ("c1", "c3"), ("a2", "a3"), ("b2", "b3")):
        await seen.ended(name)
        await seen.sent(again)

    assert seen.began == ["a1", "b1", "c1", "a2", "b2", "c2"]


async def test_places_are_not_left_empty_by_a_principal_with_its_whole_share() -> None:
    seen = statements(at_once=3, at_once_each=2)

    await seen.sent("a1", "a2", "a3", "b1", "b2")
    await seen.ended("b1")

    assert seen.running == ["a1", "a2", "b2"]


async def test_a_wait_that_is_given_up_leaves_nothing_behind() -> None:
    seen = statements(at_once=1, at_once_each=1)
    await seen.sent("a1", "b1", "b2")

    await seen.given_up("b1")
    await seen.all_ended()

    assert (seen.began, seen.turns.running, seen.turns.waiting) == (["a1", "b2"], 0, 0)


async def test_a_place_given_to_a_wait_as_it_is_given_up_goes_to_the_next() -> None:
    turns = FairTurns(at_once=1, at_once_each=1)
    await turns.acquire("a")
    given_up, following = (asyncio.create_task(turns.acquire(name)) for name in ("b", "c"))
    await asyncio.sleep(0)

    turns.release("a")
    given_up.cancel()
    await following

    with pytest.raises(asyncio.CancelledError):
        await given_up
    assert (turns.running_of("b"), turns.running_of("c")) == (0, 1)


async def test_a_wait_given_up_as_a_place_comes_free_is_passed_over() -> None:
    turns = FairTurns(at_once=1, at_once_each=1)
    await turns.acquire("a")
    given_up, following = (asyncio.create_task(turns.acquire(name)) for name in ("b", "c"))
    await asyncio.sleep(0)

    given_up.cancel()
    turns.release("a")
    await following

    with suppress(asyncio.CancelledError):
        await given_up
    assert (turns.running, turns.waiting) == (1, 0)
