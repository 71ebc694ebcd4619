"""Laws of the store, over commands in any order and any grouping."""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.catalogue.rebuild import catalogued, differences, rows_of
from control_plane.event_store.codec import fold
from control_plane.event_store.log_file import open_log_file
from control_plane.event_store.sqlite_store import SqliteStore
from control_plane.event_store.writer import Command, Limits
from control_plane.ports import CatalogueRow, Executed
from schemas.envelope import RecordedEvent
from schemas.identifiers import Kind
from tests.contracts.stores import open_sqlite
from tests.support.fakes import FakeClock
from tests.support.store import AGGREGATES, PARTED, SHELF, assign, context, look, model_id, refuse_after, register

STREAMS = st.integers(min_value=1, max_value=4)
COMMANDS = st.one_of(
    st.tuples(st.just("register"), STREAMS, st.sampled_from(["a", "A", "b", PARTED])),
    st.tuples(st.just("assign"), STREAMS, st.none()),
    st.tuples(st.just("assign stale"), STREAMS, st.integers(min_value=0, max_value=3)),
    st.tuples(st.just("refused"), STREAMS, st.none()),
    st.tuples(st.just("look"), STREAMS, st.none()),
)


Step = tuple[str, int, Any]
Answers = Sequence[Executed | BaseException]


def _command(step: Step) -> Command:
    what, number, value = step
    match what:
        case "register":
            return register(value, stream=model_id(number))
        case "assign stale":
            return assign(model_id(number), expected=value)
        case "refused":
            return refuse_after(assign(model_id(number)))
        case "look":
            return look(model_id(number))
        case _:
            return assign(model_id(number))


@settings(max_examples=40)
@given(steps=st.lists(COMMANDS, max_size=25), group=st.integers(min_value=1, max_value=8), repeat=st.booleans())
def test_the_log_the_states_and_the_rows_agree_whatever_was_asked(
    steps: list[Step],
    group: int,
    repeat: bool,  # noqa: FBT001  drawn by hypothesis
) -> None:
    asyncio.run(_run(steps, group=group, repeat=repeat))


async def _run(steps: list[Step], *, group: int, repeat: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        limits = Limits(group_commands=group, folded_states=2)
        async with open_sqlite(Path(folder), FakeClock(), [], limits) as store:
            assert isinstance(store, SqliteStore)
            asked = [
                store.execute(context(key=f"k{number}", body=str(step)), _command(step))
                for number, step in enumerate(steps)
            ]
            answers = await asyncio.gather(*asked, return_exceptions=True)
            if repeat:
                await _repeating_changes_nothing(store, steps, answers)
            log = list(store.whole_log())
            _positions_increase_and_versions_have_no_gap(log)
            assert len(log) == _events_expected(steps, answers)
            assert differences(rows_of(log, AGGREGATES), _stored_rows(store)) == []
            await _documents_equal_a_rebuild(Path(folder), log)
            await _states_equal_a_replay(store)


def _stored_rows(store: SqliteStore) -> list[CatalogueRow]:
    catalogue = store.catalogue()
    return [row for kind in (Kind.MODEL, Kind.SIGNATURE) for row in catalogue.find(kind, workspace="default")]


async def _repeating_changes_nothing(store: SqliteStore, steps: list[Step], answers: Answers) -> None:
    head = store.head()
    for number, (step, answer) in enumerate(zip(steps, answers, strict=True)):
        if isinstance(answer, Executed):
            again = await store.execute(context(key=f"k{number}", body=str(step)), _command(step))
            assert again.is_repeat
            assert (again.reply, again.position) == (answer.reply, answer.position)
    assert store.head() == head


def _positions_increase_and_versions_have_no_gap(log: list[RecordedEvent]) -> None:
    positions = [event.position for event in log]
    assert positions == sorted(set(positions))
    versions: dict[str, int] = {}
    for event in log:
        versions[event.envelope.stream] = versions.get(event.envelope.stream, 0) + 1
        assert event.envelope.streamversion == versions[event.envelope.stream]


def _events_expected(steps: list[Step], answers: Answers) -> int:
    worth = {"register": 2, "assign": 1, "assign stale": 1, "look": 0, "refused": 0}
    return sum(worth[step[0]] for step, answer in zip(steps, answers, strict=True) if isinstance(answer, Executed))


async def _documents_equal_a_rebuild(folder: Path, log: list[RecordedEvent]) -> None:
    with open_log_file(folder / "registry.sqlite") as file:
        stored = await file.documents(after=(0, ""), up_to=await file.head(), limit=1_000)
    expected = [
        (mark.position, mark.id, mark.event_id, mark.is_removed, b"" if each.row is None else each.row.body)
        for each in catalogued(log, AGGREGATES)
        if (mark := each.document) is not None
    ]
    found = [(each.position, each.id, each.event_id, bool(each.is_removed), each.body) for each in stored]
    assert found == sorted(expected)


async def _states_equal_a_replay(store: SqliteStore) -> None:
    for number in range(1, 5):
        envelopes = [event.envelope for event in store.read_stream(model_id(number))]
        replayed = fold(SHELF, SHELF.initial, envelopes)
        seen = await store.execute(context(), look(model_id(number)))
        assert (seen.reply.body, seen.reply.stream_version) == (_as_seen(replayed.numbers), len(envelopes))


def _as_seen(numbers: tuple[int, ...]) -> bytes:
    return str(list(numbers)).replace(" ", "").encode()
