"""What every event store promises."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from control_plane.errors import Refused
from control_plane.event_store.errors import (
    EventTooLargeError,
    IdempotencyKeyReusedError,
    NameTakenError,
    StaleVersionError,
)
from control_plane.ports import EventStore, Reply, UnitOfWork
from schemas.envelope import decode, encode
from schemas.events.registry import ModelRegistered
from schemas.identifiers import Kind
from tests.contracts.stores import OPENERS, Heads
from tests.support.fakes import FakeClock
from tests.support.store import SHELF, assign, context, look, model_id, recorded, refuse_after, register, reply

A_DAY_SECONDS = 24 * 60 * 60
Open = Callable[[], AbstractAsyncContextManager[EventStore]]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def heads() -> Heads:
    return []


@pytest.fixture(params=sorted(OPENERS))
def open_store(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock, heads: Heads) -> Open:
    return lambda: OPENERS[request.param](tmp_path, clock, heads)


@pytest.fixture
async def store(open_store: Open) -> AsyncIterator[EventStore]:
    async with open_store() as opened:
        yield opened


async def test_what_was_appended_is_read_in_order_of_position_and_of_version(store: EventStore) -> None:
    await store.execute(context(), register("digits", stream=model_id(1)))
    await store.execute(context(), register("letters", stream=model_id(2)))
    await store.execute(context(), assign(model_id(1)))

    log = await recorded(store)

    assert [(event.envelope.stream, event.envelope.streamversion) for event in log] == [
        (model_id(1), 1),
        (model_id(1), 2),
        (model_id(2), 1),
        (model_id(2), 2),
        (model_id(1), 3),
    ]
    assert [event.position for event in log] == sorted({event.position for event in log})
    assert [event.envelope.streamversion for event in store.read_stream(model_id(1), after_version=1)] == [2, 3]
    assert store.head() == log[-1].position


async def test_events_of_some_types_are_read_in_order(store: EventStore) -> None:
    await store.execute(context(), register("digits", stream=model_id(1)))
    await store.execute(context(), register("letters", stream=model_id(2)))
    log = await store.log.read(after=0, limit=100)
    registered, assigned = log[0].type_name, log[1].type_name

    assert await store.log.read_types([registered], after=0, limit=100) == [log[0], log[2]]
    assert await store.log.read_types([assigned, registered], after=log[0].position, limit=1) == [log[1]]
    assert await store.log.read_types(["registry.Unknown.v1"], after=0, limit=100) == []


async def test_a_process_reacts_to_each_event_once_and_in_order(store: EventStore) -> None:
    def number(unit: UnitOfWork) -> None:
        assign(model_id(1))(unit)

    await store.execute(context(), register("digits", stream=model_id(1)))
    assert store.reacted_until("numbers") is None

    await store.react("numbers", 2, context(), number)
    await store.react("numbers", 2, context(), number)
    await store.react("numbers", 1, context(), number)

    assert store.reacted_until("numbers") == 2
    assert store.reacted_until("others") is None
    assert len(store.read_stream(model_id(1))) == 3


async def test_a_reaction_that_fails_leaves_no_event_and_no_position(store: EventStore) -> None:
    def refused(unit: UnitOfWork) -> None:
        refuse_after(assign(model_id(1)))(unit)

    await store.execute(context(), register("digits", stream=model_id(1)))

    with pytest.raises(Refused):
        await store.react("numbers", 2, context(), refused)

    assert store.reacted_until("numbers") is None
    assert len(store.read_stream(model_id(1))) == 2


async def test_the_stored_bytes_are_the_canonical_ones(store: EventStore) -> None:
    await store.execute(context(), register("digits"))

    for event in await recorded(store):
        assert decode(event.canonical) == event.envelope
        assert encode(event.envelope) == event.canonical


async def test_an_envelope_says_who_when_and_why(store: EventStore) -> None:
    await store.execute(context(principal="principal-9"), register("digits"))

    envelope = (await recorded(store))[0].envelope

    assert (envelope.actor, envelope.workspace, envelope.correlationid) == ("principal-9", "default", "correlation-1")
    assert (envelope.commandid, envelope.causationid) == ("command-1", "command-1")
    assert (envelope.type, envelope.time) == ("registry.ModelRegistered.v1", "2023-11-14T22:13:20.000Z")


async def test_an_answer_covers_its_events(store: EventStore) -> None:
    executed = await store.execute(context(), register("digits"))

    assert executed.position == store.head() == 2
    assert executed.reply.stream_version == 2
    assert not executed.is_repeat


async def test_a_stale_version_is_refused(store: EventStore) -> None:
    await store.execute(context(), register("digits", stream=model_id(1)))

    with pytest.raises(StaleVersionError) as refusal:
        await store.execute(context(), assign(model_id(1), expected=1))

    assert refusal.value.code == "stale-version"
    assert store.head() == 2


async def test_a_taken_name_is_refused_without_regard_to_case(store: EventStore) -> None:
    await store.execute(context(), register("digits"))

    with pytest.raises(NameTakenError) as refusal:
        await store.execute(context(), register("DIGITS"))

    assert refusal.value.code == "name-taken"
    assert store.head() == 2


async def test_one_of_two_takers_of_a_name_in_the_same_moment_gets_it(store: EventStore) -> None:
    results = await asyncio.gather(
        *(store.execute(context(), register("digits")) for _ in range(2)), return_exceptions=True
    )

    assert sorted(type(result).__name__ for result in results) == ["Executed", "NameTakenError"]
    assert store.head() == 2


async def test_another_workspace_may_use_the_name_and_does_not_see_the_stream(store: EventStore) -> None:
    await store.execute(context(), register("digits", stream=model_id(1)))
    await store.execute(context(workspace="other"), register("digits", stream=model_id(2)))

    seen = await store.execute(context(workspace="other"), look(model_id(1)))
    with pytest.raises(StaleVersionError) as refusal:
        await store.execute(context(workspace="other"), register("mine", stream=model_id(1)))

    assert seen.reply.stream_version == 0
    assert "version 2" not in refusal.value.detail
    assert store.catalogue().get(Kind.MODEL, model_id(1), workspace="other") is None


async def test_a_look_at_a_stream_that_is_not_there_does_not_take_it(store: EventStore) -> None:
    await store.execute(context(workspace="other"), look(model_id(1)))

    await store.execute(context(), register("digits", stream=model_id(1)))

    assert store.catalogue().get(Kind.MODEL, model_id(1), workspace="default") is not None


async def test_a_repeated_command_gets_its_first_answer_and_changes_nothing(store: EventStore) -> None:
    first = await store.execute(context(key="k", body="b"), register("digits"))
    await store.execute(context(), register("letters"))

    second = await store.execute(context(key="k", body="b"), register("digits"))

    assert second.is_repeat
    assert (second.reply, second.position) == (first.reply, first.position)
    assert store.head() == 4


async def test_the_same_command_sent_twice_at_once_is_carried_out_once(store: EventStore) -> None:
    answers = await asyncio.gather(*(store.execute(context(key="k", body="b"), register("digits")) for _ in range(5)))

    assert sorted(answer.is_repeat for answer in answers) == [False, True, True, True, True]
    assert len({answer.reply.body for answer in answers}) == 1
    assert store.head() == 2


async def test_a_command_that_changed_nothing_gets_its_first_answer_too(store: EventStore) -> None:
    await store.execute(context(), register("digits", stream=model_id(1)))
    first = await store.execute(context(key="k", body="b"), look(model_id(1)))
    await store.execute(context(), assign(model_id(1)))

    second = await store.execute(context(key="k", body="b"), look(model_id(1)))

    assert second.is_repeat
    assert second.reply == first.reply


async def test_a_key_used_for_another_request_is_refused(store: EventStore) -> None:
    await store.execute(context(key="k", body="b"), register("digits"))

    with pytest.raises(IdempotencyKeyReusedError) as refusal:
        await store.execute(context(key="k", body="other"), register("letters"))

    assert refusal.value.code == "idempotency-key-reused"
    assert store.head() == 2


async def test_a_key_belongs_to_its_principal(store: EventStore) -> None:
    await store.execute(context(key="k", body="b"), register("digits"))

    other = await store.execute(context(key="k", body="c", principal="principal-2"), register("letters"))

    assert not other.is_repeat


async def test_a_refusal_is_not_remembered(store: EventStore) -> None:
    with pytest.raises(Refused):
        await store.execute(context(key="k", body="b"), refuse_after(register("digits")))

    again = await store.execute(context(key="k", body="b"), register("digits"))

    assert not again.is_repeat


async def test_a_key_is_forgotten_after_a_day(store: EventStore, clock: FakeClock) -> None:
    await store.execute(context(key="k", body="b"), register("digits"))
    clock.advance(seconds=A_DAY_SECONDS)

    again = await store.execute(context(key="k", body="other"), register("letters"))

    assert not again.is_repeat


async def test_a_refused_command_leaves_nothing_behind(store: EventStore) -> None:
    await store.execute(context(), register("digits", stream=model_id(1)))

    results = await asyncio.gather(
        store.execute(context(), refuse_after(assign(model_id(1)))),
        store.execute(context(), refuse_after(register("letters"))),
        store.execute(context(), assign(model_id(1))),
        store.execute(context(), register("letters")),
        return_exceptions=True,
    )

    assert [type(result).__name__ for result in results] == ["Refused", "Refused", "Executed", "Executed"]
    assert [event.envelope.streamversion for event in store.read_stream(model_id(1))] == [1, 2, 3]
    row = store.catalogue().get(Kind.MODEL, model_id(1), workspace="default")
    assert row is not None
    assert (row.number, row.stream_version) == (2, 3)


async def test_a_command_decides_on_what_the_one_before_it_wrote(store: EventStore) -> None:
    await store.execute(context(), register("digits", stream=model_id(1)))

    answers = await asyncio.gather(*(store.execute(context(), assign(model_id(1))) for _ in range(20)))

    assert [answer.reply.stream_version for answer in answers] == list(range(3, 23))


async def test_one_command_may_write_to_several_streams(store: EventStore) -> None:
    def command(unit: UnitOfWork) -> Reply:
        register("digits", stream=model_id(1))(unit)
        register("letters", stream=model_id(2))(unit)
        return assign(model_id(1))(unit)

    executed = await store.execute(context(), command)

    assert executed.position == store.head() == 5
    with pytest.raises(NameTakenError):
        await store.execute(context(), _register_both("words", "LETTERS"))
    assert store.catalogue().id_of(Kind.MODEL, "words", workspace="default") is None


async def test_a_bug_in_a_command_reaches_its_caller_and_nobody_else(store: EventStore) -> None:
    def broken(unit: UnitOfWork) -> Reply:
        register("digits")(unit)
        raise ZeroDivisionError

    results = await asyncio.gather(
        store.execute(context(), broken), store.execute(context(), register("digits")), return_exceptions=True
    )

    assert isinstance(results[0], ZeroDivisionError)
    assert not isinstance(results[1], BaseException)
    assert store.head() == results[1].position


async def test_an_event_larger_than_the_log_takes_is_refused(store: EventStore) -> None:
    def command(unit: UnitOfWork) -> Reply:
        event = ModelRegistered(name="digits", description="x" * 33_000, tags={})
        return reply("", unit.append(SHELF, model_id(1), expected_version=0, events=[event]).version)

    with pytest.raises(EventTooLargeError):
        await store.execute(context(), command)

    assert store.head() == 0


async def test_a_value_that_could_never_be_read_again_is_not_stored(store: EventStore) -> None:
    def command(unit: UnitOfWork) -> Reply:
        wrong = ModelRegistered(name="digits", description=7, tags={})  # type: ignore[arg-type]  # the bug to be caught
        return reply("", unit.append(SHELF, model_id(1), expected_version=0, events=[wrong]).version)

    with pytest.raises(ValueError, match="Expected `str`, got `int`"):
        await store.execute(context(), command)

    assert store.head() == 0


async def test_a_caller_that_goes_away_disturbs_nobody(store: EventStore) -> None:
    leaving = asyncio.ensure_future(store.execute(context(), register("digits")))
    await asyncio.sleep(0)
    leaving.cancel()

    await store.execute(context(), register("letters"))

    assert store.head() == 4
    assert leaving.cancelled()


async def test_the_head_is_told_before_the_caller_gets_its_answer(store: EventStore, heads: Heads) -> None:
    executed = await store.execute(context(), register("digits"))

    assert heads == [executed.position]
    await store.execute(context(), look(model_id(1)))
    assert heads == [executed.position]


async def test_everything_is_there_after_opening_again(open_store: Open) -> None:
    async with open_store() as store:
        first = await store.execute(context(key="k", body="b"), register("digits", stream=model_id(1)))
        rows = store.catalogue().find(Kind.MODEL, workspace="default")

    async with open_store() as store:
        again = await store.execute(context(key="k", body="b"), register("digits", stream=model_id(1)))
        assert again.is_repeat
        assert again.reply == first.reply
        assert store.catalogue().find(Kind.MODEL, workspace="default") == rows
        assert (await store.execute(context(), assign(model_id(1)))).reply.stream_version == 3


async def test_commands_that_wait_are_finished_when_the_store_closes(open_store: Open) -> None:
    async with open_store() as store:
        waiting = [asyncio.ensure_future(store.execute(context(), register(f"m{n}"))) for n in range(200)]
        await asyncio.sleep(0)

    assert all(not done.is_repeat for done in await asyncio.gather(*waiting))


async def test_a_name_is_free_again_when_its_command_was_refused(store: EventStore) -> None:
    with pytest.raises(Refused):
        await store.execute(context(), refuse_after(register("digits")))

    await store.execute(context(), register("digits"))

    assert store.catalogue().id_of(Kind.MODEL, "Digits", workspace="default") is not None


async def test_the_catalogue_answers_each_filter(store: EventStore) -> None:
    for number, name in enumerate(("digits", "letters", "digital"), start=1):
        await store.execute(context(), register(name, stream=model_id(number)))
    await store.execute(context(), assign(model_id(2)))
    catalogue = store.catalogue()

    def names(**filters: object) -> list[str | None]:
        return [row.name for row in catalogue.find(Kind.MODEL, workspace="default", **filters)]  # type: ignore[arg-type]

    assert names() == ["digits", "letters", "digital"]
    assert names(name_contains="DIGI") == ["digits", "digital"]
    assert names(number=2) == ["letters"]
    assert names(phases=["empty"]) == []
    assert names(phases=["used", "empty"], after_id=model_id(1), limit=1) == ["letters"]
    assert names(parent_id="x") == []
    assert catalogue.find(Kind.ENDPOINT, workspace="default") == []


def _register_both(first: str, second: str) -> Callable[[UnitOfWork], Reply]:
    def command(unit: UnitOfWork) -> Reply:
        register(first)(unit)
        return register(second)(unit)

    return command
