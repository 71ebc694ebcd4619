"""Roll-ups on the real engine: what they count is what the rows say, for as long as it is asked for."""

import asyncio
import random
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pytest

from projections.errors import StoreRefusedError, StoreUnavailableError
from projections.measurement.queries import measure_epoch
from projections.quality.queries import quality_of_endpoint
from projections.rollups.spans import DAY_MS, HOUR_MS, MINUTE_MS, floor
from projections.serving_metrics.queries import metrics_of_endpoint
from projections.store import ClickHouseStore
from projections.views import projector_of
from schemas.measurement import Arm, MeasureEpoch
from schemas.topics import FEEDBACK
from tests.integration.projections.conftest import reader_at, sink_into
from tests.integration.projections.prediction_story import ARMS, LOSSES, NOW, QUESTION, Story, roller_on
from tests.support.read_side_messages import (
    ENDPOINT,
    WORKSPACE,
    feedback_message,
)


async def measured(store: ClickHouseStore, question: MeasureEpoch = QUESTION) -> dict[str, Arm]:
    found = await measure_epoch(reader_at(store, NOW), question, workspace=WORKSPACE, endpoint_id=ENDPOINT)
    return {
        name: msgspec.structs.replace(arm, p50_ms=None, p95_ms=None, p99_ms=None) for name, arm in found.arms.items()
    }


async def number_of(store: ClickHouseStore, table: str, where: str = "1") -> int:
    rows = await store.select(f"SELECT count() AS rows FROM {table} FINAL WHERE {where}")  # noqa: S608  our own names
    return int(rows[0]["rows"])


async def expire(store: ClickHouseStore, *tables: str) -> None:
    for table in tables:
        await store.command(f"TRUNCATE TABLE {table}")


RAW = ("request_records", "observation_records", "feedback", "prediction_index")


@pytest.mark.parametrize("seed", [1, 2])
async def test_counts_are_the_same_whether_rolled_up_or_not_and_whatever_comes_late(
    store: ClickHouseStore, seed: int
) -> None:
    chance = random.Random(seed)
    story, roller = Story(store), roller_on(store)

    def times(count: int, *, since_ms: int) -> list[int]:
        return [chance.randrange(NOW - since_ms, NOW - 300) for _ in range(count)]

    first = await story.serve(times(150, since_ms=3 * DAY_MS) + times(150, since_ms=2 * MINUTE_MS), chance=chance)
    observed = chance.sample(first, 200)
    await story.observe(observed, chance=chance)
    await story.tell(chance.sample(first, 150), "label", ("1", "2"), chance=chance)
    raw = await measured(store)
    await roller.roll_up()
    rolled = await measured(store)

    assert raw == rolled == story.expected()
    assert await number_of(store, "request_rollups", f"span_ms = {DAY_MS}") > 0

    late = await story.serve(times(40, since_ms=3 * DAY_MS), chance=chance)
    await story.observe(chance.sample([*(set(first) - set(observed)), *late], 60), chance=chance)
    await story.tell(chance.sample([*first, *late], 100), "label", ("1", "2"), chance=chance)
    await story.tell(chance.sample([*first, *late], 100), "loss", tuple(map(str, LOSSES)), chance=chance)
    await roller.roll_up()

    assert await measured(store) == story.expected()


async def test_evidence_outlives_the_rows_that_it_was_counted_from(store: ClickHouseStore) -> None:
    chance = random.Random(3)
    story = Story(store)
    served = await story.serve([NOW - 6 * DAY_MS + n * HOUR_MS for n in range(140)], chance=chance)
    await story.observe(served, chance=chance)
    await story.tell(served, "label", ("1", "2"), chance=chance)
    await roller_on(store).roll_up()

    await expire(store, *RAW)

    assert await measured(store) == story.expected()
    assert story.expected()["blue"].labelled > 0


@pytest.mark.parametrize("bucket_ms", [30_000, 5 * MINUTE_MS, 2 * HOUR_MS, DAY_MS])
async def test_charts_show_the_same_whether_rolled_up_or_not(store: ClickHouseStore, bucket_ms: int) -> None:
    chance = random.Random(10)
    story = Story(store)
    spread_ms = min(1_500 * bucket_ms, 3 * DAY_MS)
    served = await story.serve([NOW - 300 - n * spread_ms // 200 for n in range(200)], chance=chance)
    await story.observe(served, chance=chance)
    await story.tell(served, "label", ("1", "2"), chance=chance)

    async def shown() -> tuple[object, object]:
        reader, since_ms = reader_at(store, NOW), NOW - spread_ms + bucket_ms
        metrics = await metrics_of_endpoint(
            reader, ENDPOINT, workspace=WORKSPACE, since_ms=since_ms, bucket_ms=bucket_ms
        )
        quality = await quality_of_endpoint(
            reader, ENDPOINT, workspace=WORKSPACE, since_ms=since_ms, bucket_ms=bucket_ms, feedback_name="label"
        )
        return metrics.items, quality.items

    from_rows = await shown()
    await roller_on(store).roll_up()
    rolled_up = await shown()

    assert from_rows == rolled_up
    assert all(from_rows)


async def test_a_label_that_comes_after_answers_expired_takes_none_back(store: ClickHouseStore) -> None:
    chance = random.Random(4)
    story, roller = Story(store), roller_on(store)
    served = await story.serve([NOW - DAY_MS + n for n in range(60)], chance=chance)
    await story.observe(served, chance=chance)
    await story.tell(served[:40], "label", ("1", "2"), chance=chance)
    await roller.roll_up()
    before = await measured(store)

    await expire(store, "observation_records")
    await story.tell(served, "label", ("1", "2"), chance=chance)
    await story.tell(served, "loss", ("0.25", "0.5"), chance=chance)
    await roller.roll_up()
    after = await measured(store)

    assert [(after[arm].labelled, after[arm].wrong) for arm in ARMS] == [
        (before[arm].labelled, before[arm].wrong) for arm in ARMS
    ]
    # What needs no answer is counted all the same.
    assert [after[arm].scored for arm in ARMS] == [story.expected()[arm].scored for arm in ARMS]


async def test_minutes_whose_rows_expire_are_final(store: ClickHouseStore) -> None:
    story = Story(store)
    await story.serve([NOW - 6 * DAY_MS], chance=random.Random(5))
    await roller_on(store).roll_up()
    await expire(store, "request_records")

    await story.serve([NOW - 6 * DAY_MS + 1], chance=random.Random(6))
    await roller_on(store, now_ms=NOW + DAY_MS).roll_up()

    assert await number_of(store, "rollup_spans", f"kind = 'requests' AND span_ms = {MINUTE_MS} AND from_rows = 1") == 1


class CutShort(ClickHouseStore):
    """Loses ClickHouse at the n-th write."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.left = -1
        self.looks = 0

    async def run(self, action: Callable[[Any], Any]) -> Any:  # noqa: ANN401
        if "query" in action.__qualname__:
            self.looks += 1
        else:
            self.left -= 1
            if self.left == 0:
                raise StoreUnavailableError("gone")
        return await super().run(action)


async def test_a_pass_that_is_cut_short_anywhere_is_made_good_by_the_next(
    store: ClickHouseStore, views_database: str
) -> None:
    chance = random.Random(7)
    story = Story(store)
    served = await story.serve([NOW - 30 * HOUR_MS + n * 7 * MINUTE_MS for n in range(200)], chance=chance)
    await story.observe(served, chance=chance)
    await story.tell(served, "label", ("1", "2"), chance=chance)
    cut = CutShort(views_database)
    try:
        for number in range(1, 100):
            cut.left = number
            try:
                await roller_on(cut).roll_up()
            except StoreUnavailableError:
                # Nothing is lost or doubled. What was told again of a closed minute may be known only later.
                found = {arm: msgspec.structs.replace(one, wrong=0) for arm, one in (await measured(store)).items()}
                known = {arm: msgspec.structs.replace(one, wrong=0) for arm, one in story.expected().items()}
                assert found == known, f"cut at write {number}"
                await story.tell(chance.sample(served, 3), "label", ("1", "2"), chance=chance)
                continue
            break
    finally:
        await cut.close()

    assert cut.left > 0
    await expire(store, *RAW)
    assert await measured(store) == story.expected()


async def test_rolling_up_goes_on_after_trouble_and_rests_while_nothing_arrives(
    store: ClickHouseStore, views_database: str
) -> None:
    story, arrived = Story(store), 0
    await story.serve([NOW - HOUR_MS], chance=random.Random(11))
    cut = CutShort(views_database)
    cut.left = 1
    # The next minute has not begun, so that only what arrives makes work.
    roller = roller_on(cut, now_ms=floor(NOW, MINUTE_MS))
    running = asyncio.create_task(roller.run(every_s=0.01, arrived=lambda: arrived))
    try:
        while await number_of(store, "rollup_spans") == 0:
            await asyncio.sleep(0.01)
        looks = 0
        while looks != cut.looks:
            looks = cut.looks
            await asyncio.sleep(0.5)
        await story.serve([NOW - 2 * HOUR_MS], chance=random.Random(12))
        arrived += 1
        while await number_of(store, "rollup_spans", f"span_ms = {MINUTE_MS} AND kind = 'requests'") < 2:
            await asyncio.sleep(0.01)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await cut.close()

    assert roller.failures == 1


async def test_two_that_roll_up_at_once_come_to_the_same(store: ClickHouseStore) -> None:
    chance = random.Random(8)
    story = Story(store)
    served = await story.serve([NOW - DAY_MS + n * MINUTE_MS for n in range(300)], chance=chance)
    await asyncio.gather(
        *(roller_on(store).roll_up() for _ in range(3)),
        story.observe(served, chance=chance),
        story.tell(served, "loss", ("0.25", "0.5"), chance=chance),
    )
    await roller_on(store).roll_up()

    await expire(store, *RAW)

    assert await measured(store) == story.expected()


async def test_feedback_on_what_was_never_predicted_is_counted_nowhere(store: ClickHouseStore) -> None:
    story = Story(store)
    await story.serve([NOW - HOUR_MS], chance=random.Random(9))
    made_up = [
        feedback_message(number, started_at_ms=started_at_ms, value="1", received_at_ms=NOW, offset=number)
        for number, started_at_ms in enumerate((0, 9_999_999_999_999, NOW - 2 * HOUR_MS, NOW + DAY_MS))
    ]
    await sink_into(store, projector_of(FEEDBACK)).consume(made_up)

    await roller_on(store).roll_up()

    assert await number_of(store, "label_rollups") == 0
    arrived = await store.select("SELECT minute_ms FROM rollup_arrivals WHERE kind = 'predictions' ORDER BY minute_ms")
    assert [row["minute_ms"] for row in arrived] == [
        floor(NOW - 2 * HOUR_MS, MINUTE_MS),
        floor(NOW - HOUR_MS, MINUTE_MS),
        floor(NOW + DAY_MS, MINUTE_MS),
    ]


async def test_each_day_has_its_turn_however_much_arrives_of_others(store: ClickHouseStore) -> None:
    chance = random.Random(13)
    story, roller = Story(store), roller_on(store)
    days = [await story.serve([NOW - ago * DAY_MS], chance=chance) for ago in range(1, 7)]
    await roller.roll_up()

    for day in days:
        await story.tell(day, "loss", ("0.25", "0.5"), chance=chance)
    for _ in range(3):
        await roller.roll_up()
        for day in days[:4]:
            await story.tell(day, "loss", ("0.25", "0.5"), chance=chance)
    await roller.roll_up()

    told = await store.select(f"SELECT DISTINCT start_ms FROM score_rollups WHERE span_ms = {MINUTE_MS}")  # noqa: S608
    primary = await store.select("SELECT DISTINCT started_at_ms FROM prediction_index WHERE role = 'primary'")
    assert {row["start_ms"] for row in told} == {floor(row["started_at_ms"], MINUTE_MS) for row in primary}


class RefusingOneDay(ClickHouseStore):
    """Refuses to roll up what began at a time."""

    from_ms = 0

    async def command(
        self, sql: str, parameters: Mapping[str, Any] | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        if parameters and parameters.get("from_ms") == self.from_ms:
            raise StoreRefusedError("no", store_code=1)
        await super().command(sql, parameters, settings)


async def test_a_day_that_cannot_be_rolled_up_again_holds_up_no_other(
    store: ClickHouseStore, views_database: str
) -> None:
    chance = random.Random(14)
    story = Story(store)
    old = await story.serve([NOW - 3 * DAY_MS], chance=chance)
    young = await story.serve([NOW - DAY_MS + n * MINUTE_MS for n in range(40)], chance=chance)
    await story.observe([*old, *young], chance=chance)
    await roller_on(store).roll_up()
    await story.tell([*old, *young], "label", ("1", "2"), chance=chance)
    refusing = RefusingOneDay(views_database)
    refusing.from_ms = floor(NOW - 3 * DAY_MS, MINUTE_MS)

    with pytest.raises(StoreRefusedError):
        await roller_on(refusing).roll_up()
    await refusing.close()
    by_hour = await store.select(
        f"SELECT sum(labelled) AS labelled FROM label_rollups FINAL WHERE span_ms = {HOUR_MS}"  # noqa: S608
    )
    await roller_on(store).roll_up()

    assert by_hour[0]["labelled"] > 0
    assert await measured(store) == story.expected()


async def test_a_source_whose_clock_is_ahead_closes_no_minute_to_come(store: ClickHouseStore) -> None:
    story = Story(store)
    await story.serve([NOW - HOUR_MS], chance=random.Random(15), at_ms=NOW + 365 * DAY_MS)

    await roller_on(store).roll_up()

    progress = await store.select("SELECT max(until_ms) AS until_ms FROM rollup_progress")
    assert progress == [{"until_ms": floor(NOW, MINUTE_MS)}]


async def test_the_last_word_counts_and_one_that_is_no_number_is_none(store: ClickHouseStore) -> None:
    chance = random.Random(16)
    story, roller = Story(store), roller_on(store)
    served = await story.serve([NOW - HOUR_MS + n for n in range(20)], chance=chance)
    await story.tell(served, "loss", ("0.25", "0.5"), chance=chance)
    await roller.roll_up()
    before = await measured(store)

    await story.tell(served, "loss", ("withdrawn",), chance=chance)
    await roller.roll_up()

    assert sum(arm.scored for arm in before.values()) > 0
    assert [arm.scored for arm in (await measured(store)).values()] == [0, 0]
