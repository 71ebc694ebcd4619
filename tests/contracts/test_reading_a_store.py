"""What every event store promises of its pages and rows."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from control_plane.log.ports import LogSelection
from control_plane.ports import EventStore
from schemas.catalogue import TYPE_NAMES
from schemas.envelope import decode
from schemas.events.registry import ModelRegistered, VersionNumberAssigned
from schemas.identifiers import Kind
from tests.contracts.stores import OPENERS
from tests.support.fakes import FakeClock
from tests.support.store import PARTED, context, model_id, register


@pytest.fixture(params=sorted(OPENERS))
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[EventStore]:
    async with OPENERS[request.param](tmp_path, FakeClock(), []) as opened:
        yield opened


async def test_the_rows_of_parents_are_found_at_once(store: EventStore) -> None:
    await store.execute(context(), register(PARTED, stream=model_id(1)))
    await store.execute(context(), register("plain", stream=model_id(2)))
    await store.execute(context(workspace="another"), register(PARTED, stream=model_id(3)))
    catalogue = store.catalogue()
    (row,) = catalogue.find(Kind.SIGNATURE, workspace="default")

    both = catalogue.children(Kind.SIGNATURE, [model_id(2), model_id(3), model_id(1)], workspace="default")

    assert both == [row]
    assert catalogue.children(Kind.SIGNATURE, [model_id(2)], workspace="default") == []
    assert catalogue.children(Kind.MODEL, [model_id(1)], workspace="default") == []
    assert catalogue.children(Kind.SIGNATURE, [model_id(1)], workspace="default", phases=["used"]) == []


async def test_a_page_is_cut_by_stream_type_position_and_number(store: EventStore) -> None:
    await store.execute(context(), register("digits", stream=model_id(1)))
    await store.execute(context(workspace="another"), register("digits", stream=model_id(2)))
    await store.execute(context(), register("letters", stream=model_id(3)))
    registered, assigned = (TYPE_NAMES[each] for each in (ModelRegistered, VersionNumberAssigned))

    async def found(*, after: int = 0, limit: int = 100, **wanted: str) -> tuple[list[tuple[str, str]], int]:
        page = await store.log.page(LogSelection(workspace="default", **wanted), after=after, limit=limit)
        events = [decode(event.canonical) for event in page.events]
        return [(event.stream, event.type) for event in events], page.read_until

    first, second = (model_id(1), registered), (model_id(1), assigned)
    third, fourth = (model_id(3), registered), (model_id(3), assigned)
    assert await found() == ([first, second, third, fourth], 6)
    assert await found(after=1, limit=2) == ([second, third], 5)
    assert await found(type=assigned) == ([second, fourth], 6)
    assert await found(type=assigned, limit=1) == ([second], 2)
    assert await found(stream=model_id(3)) == ([third, fourth], 6)
    assert await found(stream=model_id(3), after=5) == ([fourth], 6)
    assert await found(stream=model_id(3), type=registered, limit=1) == ([third], 5)
    assert await found(stream=model_id(2)) == ([], 6)
    assert await found(type="registry.Unheard.v1") == ([], 6)
    assert await found(after=6) == ([], 6)
