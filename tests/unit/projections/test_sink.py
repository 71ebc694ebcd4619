import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.background import Background
from projections.errors import StoreRefusedError, StoreUnavailableError
from projections.sink.progress import Mark
from projections.sink.sink import Sink
from tests.unit.projections.sink_doubles import (
    HIGHEST,
    NUMBER_PROJECTOR,
    NUMBERS,
    UNLUCKY,
    Crash,
    Outside,
    letters_unavailable,
    message,
)


async def _no_sleep(seconds: float) -> None:
    assert seconds > 0


def sink_on(outside: Outside, background: Background | None = None) -> Sink:
    return Sink(
        projector=NUMBER_PROJECTOR,
        inserts=outside,
        marks=outside,
        dead_letters=outside,
        sleep=_no_sleep,
        background=background,
    )


async def test_messages_get_their_rows_and_are_settled_in_order() -> None:
    outside = Outside()

    settled = await sink_on(outside).consume([message(0), message(1), message(0, partition=1)])

    assert [(one.partition, one.offset) for one in settled] == [(0, 0), (0, 1), (1, 0)]
    assert outside.numbers() == [(0, 0), (0, 1), (1, 0)]


async def test_the_table_that_says_complete_is_written_last() -> None:
    outside = Outside()

    await sink_on(outside).consume([message(0)])

    assert [table for table, _ in outside.inserts] == [NUMBERS.name, HIGHEST.name]


async def test_a_token_names_topic_partition_and_range() -> None:
    outside = Outside()

    await sink_on(outside).consume([message(4, partition=2), message(5, partition=2)])

    assert (NUMBERS.name, "inference.feedback.v1-2-4-5") in outside.inserts


async def test_rows_whose_token_the_store_kept_without_them_are_inserted_again() -> None:
    outside = Outside()
    outside.lost = 3

    await sink_on(outside).consume([message(0), message(1)])

    assert outside.numbers() == [(0, 0), (0, 1)]


async def test_a_batch_that_is_repeated_after_a_crash_has_no_token() -> None:
    outside = Outside()
    outside.marks = {0: Mark(first=0, last=1, last_timestamp_ms=1_001)}
    outside.tokens = {(NUMBERS.name, "inference.feedback.v1-0-0-1")}

    await sink_on(outside).consume([message(0), message(1), message(2)])

    assert outside.numbers() == [(0, 0), (0, 1), (0, 2)]
    assert [token for table, token in outside.inserts if table == NUMBERS.name] == [None, "inference.feedback.v1-0-2-2"]


async def test_a_message_that_comes_again_is_settled_without_a_second_row() -> None:
    outside = Outside()
    sink = sink_on(outside)
    await sink.consume([message(0), message(1)])

    settled = await sink.consume([message(1), message(2), message(2)])

    assert [one.offset for one in settled] == [1, 2, 2]
    assert outside.numbers() == [(0, 0), (0, 1), (0, 2)]


async def test_an_undecodable_message_is_kept_with_its_reason_and_settled() -> None:
    outside = Outside()

    settled = await sink_on(outside).consume([message(0), message(1, value=b"\xff"), message(2)])

    assert [one.offset for one in settled] == [0, 1, 2]
    assert [(one.offset, one.value, reason) for one, reason in outside.letters] == [(1, b"\xff", "no number")]
    assert outside.numbers() == [(0, 0), (0, 2)]


@pytest.mark.parametrize(
    ("value", "by"),
    [
        pytest.param(UNLUCKY, NUMBERS.name, id="its view raises"),
        pytest.param(b"9" * 30, NUMBERS.name, id="its row does not fit the table"),
    ],
)
async def test_a_message_that_a_view_fails_on_is_kept_with_its_name_and_takes_no_other_with_it(
    value: bytes, by: str
) -> None:
    outside, background = Outside(), Background()

    settled = await sink_on(outside, background).consume([message(0), message(1, value=value), message(2)])

    assert [one.offset for one in settled] == [0, 1, 2]
    ((letter, reason),) = outside.letters
    assert (letter.offset, letter.value) == (1, value)
    assert reason.startswith(f"{by} failed on it: ")
    assert outside.numbers() == [(0, 0), (0, 2)]
    assert background.failing == (f"projections-fills-{by}",)


async def test_a_view_that_fails_on_every_message_is_told_once_for_each() -> None:
    outside, background = Outside(), Background()
    sink = sink_on(outside, background)

    await sink.consume([message(number, value=UNLUCKY) for number in range(3)])

    assert (sink.rejected, background.failures) == (3, {f"projections-fills-{NUMBERS.name}": 3})


async def test_a_message_that_is_not_of_its_form_is_no_fault_of_a_view() -> None:
    outside, background = Outside(), Background()

    await sink_on(outside, background).consume([message(0, value=b"\xff")])

    assert background.failures == {}


@pytest.mark.parametrize("failure", [StoreUnavailableError("away"), letters_unavailable()])
async def test_trouble_that_may_pass_is_waited_out_in_place(failure: Exception) -> None:
    outside = Outside()
    outside.failures = [failure, failure, failure]

    settled = await sink_on(outside).consume([message(0), message(1, value=b"x")])

    assert len(settled) == 2
    assert outside.numbers() == [(0, 0)]


async def test_a_refusal_settles_nothing() -> None:
    outside = Outside()
    sink = sink_on(outside)
    await sink.consume([message(0)])
    outside.failures = [StoreRefusedError("no such column")]

    with pytest.raises(StoreRefusedError):
        await sink.consume([message(1)])

    assert [one.offset for one in await sink.consume([message(1)])] == [1]


async def test_a_batch_cut_short_is_repeated_with_its_range_before_it_settles() -> None:
    outside = Outside()
    outside.marks[0] = Mark(first=5, last=7, last_timestamp_ms=0)
    sink = sink_on(outside)

    first = await sink.consume([message(4), message(5), message(6)])
    second = await sink.consume([message(7), message(8)])

    assert [one.offset for one in first] == [4]
    assert [one.offset for one in second] == [5, 6, 7, 8]
    assert outside.numbers() == [(0, 5), (0, 6), (0, 7), (0, 8)]


async def test_what_is_known_of_a_partition_is_read_afresh_when_it_returns() -> None:
    outside = Outside()
    sink = sink_on(outside)
    await sink.consume([message(0)])
    sink.forget([0])
    outside.marks[0] = Mark(first=1, last=3, last_timestamp_ms=0)

    settled = await sink.consume([message(1), message(2), message(3)])

    assert len(settled) == 3
    assert outside.numbers() == [(0, 0), (0, 1), (0, 2), (0, 3)]
    assert outside.inserts[-1] == (HIGHEST.name, None), "another worker may have written 1 to 3"


@settings(max_examples=300)
@given(
    length=st.integers(1, 30),
    cuts=st.lists(st.integers(1, 8), min_size=1, max_size=12),
    crashes=st.lists(st.integers(0, 25), max_size=5),
    commits=st.lists(st.booleans(), min_size=1, max_size=8),
)
def test_a_crash_at_any_step_doubles_and_loses_no_message(
    length: int, cuts: list[int], crashes: list[int], commits: list[bool]
) -> None:
    outside = Outside()
    committed, turn = 0, 0

    async def live() -> int:
        """One life of a process: from the committed offset to the end of the log, or to its crash."""
        nonlocal committed, turn
        sink, offset = sink_on(outside), committed
        acknowledged = committed
        while offset < length:
            taken = cuts[turn % len(cuts)]
            turn += 1
            batch = [message(number) for number in range(offset, min(length, offset + taken))]
            for one in await sink.consume(batch):
                assert one.offset == acknowledged, "acknowledged out of order"
                acknowledged += 1
            offset += len(batch)
            if commits[turn % len(commits)]:
                committed = acknowledged
        return acknowledged

    for steps in crashes:
        outside.on_step = crash_after(steps)
        try:
            asyncio.run(live())
        except Crash:
            continue
    outside.on_step = lambda: None
    assert asyncio.run(live()) == length

    assert outside.numbers() == [(0, number) for number in range(length)]


def crash_after(steps: int) -> Callable[[], None]:
    left = steps

    def on_step() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Crash

    return on_step
