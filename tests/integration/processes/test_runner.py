"""A process against a real store: each event has its effect once, whatever happens in between."""

import asyncio
import itertools
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from control_plane.event_feed.commits import Commits
from control_plane.event_store.errors import NewerEventError
from control_plane.ports import EventContext, EventStore, UnitOfWork
from control_plane.processes.process import Process, Reaction
from control_plane.processes.runner import ProcessRunner
from infra.background import Background, BackOff
from schemas.envelope import RecordedEvent
from schemas.events.registry import ModelRegistered, VersionNumberAssigned
from tests.contracts.stores import open_sqlite
from tests.support.fakes import FakeClock
from tests.support.gateway import until
from tests.support.store import SHELF, assigned, context, model_id, recorded, register

_NUMBERS = itertools.count(1)


def when_registered(unit: UnitOfWork, event: ModelRegistered, around: EventContext) -> None:
    """Give the next number to what was registered."""
    del event
    shelf = unit.load(SHELF, around.stream)
    number = assigned(len(shelf.state.numbers) + 1)
    unit.append(SHELF, around.stream, expected_version=shelf.version, events=[number])


class Scene:
    """A store, and what runs processes on it."""

    def __init__(self, store: EventStore, commits: Commits) -> None:
        self.store = store
        self.commits = commits
        self.background = Background(back_off=BackOff(first_s=0.01, max_s=0.01))

    def runner(self, reaction: Reaction = when_registered, *, name: str = "numbers") -> ProcessRunner:
        return ProcessRunner(
            Process(name=name, when={ModelRegistered: reaction}),
            self.store,
            self.commits,
            new_command_id=lambda: f"command-{next(_NUMBERS)}",
        )

    @asynccontextmanager
    async def running(self, *runners: ProcessRunner) -> AsyncIterator[None]:
        works = {f"process-{number}": runner.run for number, runner in enumerate(runners)}
        async with self.background.running(works):
            yield

    async def register(self, *numbers: int) -> None:
        for number in numbers:
            await self.store.execute(context(), register(f"m{number}", stream=model_id(number)))

    async def effects(self) -> list[RecordedEvent]:
        return [event for event in await recorded(self.store) if event.envelope.actor.startswith("process-")]

    async def until_effects(self, count: int) -> None:
        async def are_there() -> bool:
            return len(await self.effects()) >= count

        await until(are_there, why=f"{count} effects")


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Scene]:
    commits = Commits(None)
    heads: list[int] = []
    async with open_sqlite(folder, FakeClock(), heads, after_commit=commits.committed) as store:
        yield Scene(store, commits)
    commits.close()


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with opened(tmp_path) as scene:
        yield scene


async def test_what_was_there_before_and_what_comes_has_its_effect_in_order(scene: Scene) -> None:
    await scene.register(1, 2)
    async with scene.running(scene.runner()):
        await scene.until_effects(2)
        await scene.register(3)
        await scene.until_effects(3)

    assert [effect.envelope.stream for effect in await scene.effects()] == [model_id(1), model_id(2), model_id(3)]


async def test_an_effect_says_which_event_it_follows_from(scene: Scene) -> None:
    await scene.store.execute(context(workspace="w1"), register("digits", stream=model_id(1)))
    async with scene.running(scene.runner()):
        await scene.until_effects(1)

    cause, *_ = await recorded(scene.store)
    (effect,) = await scene.effects()
    assert (effect.envelope.actor, effect.envelope.workspace) == ("process-numbers", "w1")
    assert (effect.envelope.causationid, effect.envelope.correlationid) == (
        cause.envelope.id,
        cause.envelope.correlationid,
    )


async def test_it_goes_on_where_it_stopped(tmp_path: Path) -> None:
    async with opened(tmp_path) as scene:
        await scene.register(1)
        async with scene.running(scene.runner()):
            await scene.until_effects(1)
        await scene.register(2)
    async with opened(tmp_path) as scene, scene.running(scene.runner()):
        await scene.until_effects(2)
        await scene.register(3)
        await scene.until_effects(3)

        assert len(await scene.effects()) == 3


async def test_two_runners_of_a_process_have_one_effect(scene: Scene) -> None:
    await scene.register(*range(1, 30))
    async with scene.running(scene.runner(), scene.runner(), scene.runner(name="others")):
        await scene.until_effects(58)
        await scene.register(30)
        await scene.until_effects(60)

    actors = [effect.envelope.actor for effect in await scene.effects()]
    assert (actors.count("process-numbers"), actors.count("process-others")) == (30, 30)


async def test_a_reaction_that_fails_is_tried_again_and_leaves_nothing_behind_and_others_go_on(scene: Scene) -> None:
    tries = itertools.count(1)

    def fails_at_first(unit: UnitOfWork, event: ModelRegistered, around: EventContext) -> None:
        when_registered(unit, event, around)
        if next(tries) < 4:
            raise RuntimeError("not yet")

    await scene.register(1, 2)
    async with scene.running(scene.runner(fails_at_first), scene.runner(name="others")):
        await scene.until_effects(4)

    assert scene.background.failures == {"process-0": 3, "process-1": 0}
    effects = [(effect.envelope.actor, effect.envelope.stream) for effect in await scene.effects()]
    assert len(effects) == len(set(effects)) == 4


async def test_a_restored_log_has_no_effect_a_second_time(tmp_path: Path) -> None:
    async with opened(tmp_path) as scene:
        await scene.register(1, 2)
        async with scene.running(scene.runner()):
            await scene.until_effects(2)
        await scene.register(3)
    with closing(sqlite3.connect(tmp_path / "registry.sqlite")) as connection, connection:
        connection.execute("DELETE FROM processes")

    async with opened(tmp_path) as scene, scene.running(scene.runner()):
        await scene.until_effects(3)
        await scene.register(4)
        await scene.until_effects(4)

        streams = [effect.envelope.stream for effect in await scene.effects()]
    assert streams == [model_id(number) for number in (1, 2, 3, 4)]


async def test_an_event_that_nothing_follows_from_is_passed_over(scene: Scene) -> None:
    await scene.register(1)
    runner = scene.runner()
    async with scene.running(runner):
        await scene.until_effects(1)
        head = scene.store.head()
        await until(lambda: runner.position == head, why="the end of the log")

    assert {type_of(event) for event in await scene.effects()} == {VersionNumberAssigned.__name__}


async def test_a_stream_of_a_newer_release_keeps_no_other_waiting(scene: Scene) -> None:
    def decides_on_a_newer_stream(unit: UnitOfWork, event: ModelRegistered, around: EventContext) -> None:
        if around.stream == model_id(1):
            raise NewerEventError(stream=around.stream, type_name="registry.Unknown.v1", detail="unknown here")
        when_registered(unit, event, around)

    await scene.register(1, 2)
    async with scene.running(scene.runner(decides_on_a_newer_stream)):
        await scene.until_effects(1)

    assert [effect.envelope.stream for effect in await scene.effects()] == [model_id(2)]
    assert scene.background.failures == {"process-0": 0}


def type_of(event: RecordedEvent) -> str:
    return event.envelope.type.split(".")[1]


async def test_it_ends_with_the_api_at_once(scene: Scene) -> None:
    task = asyncio.ensure_future(scene.runner().run())
    await scene.register(1)
    await scene.until_effects(1)

    scene.commits.drain()
    await asyncio.wait_for(task, timeout=20)
