"""Summaries of features on the real ClickHouse: what is merged is what numpy counts of all values."""

import json
import time
from typing import Any

import numpy as np
import pytest

from infra.value_bins import bin_of, edges_of
from projections.errors import BadQuery
from projections.feature_summaries.queries import MAX_ENTRIES, MAX_ITEMS, summaries_of_endpoint
from projections.reading import Reader
from projections.store import ClickHouseStore
from projections.views import projector_of
from schemas.feature_summaries import AskFeatureSummaries, FeatureSummaries, FeatureSummary
from schemas.observations import OBSERVATION_COLUMNS
from schemas.topics import OBSERVATIONS
from tests.integration.projections.conftest import reader_at, sink_into
from tests.support.read_side_messages import ENDPOINT, WORKSPACE, observation_row, observations

MINUTE_MS = 60_000
WINDOW_MS = 2 * MINUTE_MS
# A little ago, because rows are deleted in time.
NOW_MS = time.time_ns() // 1_000_000
BEGIN_MS = (NOW_MS - 60 * MINUTE_MS) // WINDOW_MS * WINDOW_MS


def numbers(values: np.ndarray[Any, Any]) -> str:
    data = values.ravel().tolist()
    return json.dumps({"x": {"datatype": "FP64", "shape": list(values.shape), "data": data}})


def text(value: str) -> str:
    return json.dumps({"label": {"datatype": "BYTES", "shape": [1], "data": [value]}})


def batch(number: int, values: np.ndarray[Any, Any], **changes: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    """Return a request for each row, a minute after the other, four minutes in all."""
    every = [BEGIN_MS + (at % 4) * MINUTE_MS for at in range(len(values))]
    return [
        observation_row(at, started_at_ms=ms, prediction="1", batch=number, inputs=numbers(row[None, :]))
        | {"outputs": text(f"class {at % 3}")}
        | changes
        for at, (ms, row) in enumerate(zip(every, values, strict=True))
    ]


async def consumed(store: ClickHouseStore, *batches: list[dict[str, Any]]) -> None:
    sink = sink_into(store, projector_of(OBSERVATIONS))
    for offset, rows in enumerate(batches):
        assert all(row.keys() == OBSERVATION_COLUMNS.keys() for row in rows)
        await sink.consume([observations(rows, at_ms=NOW_MS, offset=offset)])


async def asked(reader: Reader, **changes: Any) -> FeatureSummaries:  # noqa: ANN401
    question = {"from_ms": BEGIN_MS, "to_ms": BEGIN_MS + 2 * WINDOW_MS, "window_ms": WINDOW_MS} | changes
    workspace = question.pop("workspace", WORKSPACE)
    return await summaries_of_endpoint(reader, ENDPOINT, workspace=workspace, asked=AskFeatureSummaries(**question))


def of(found: FeatureSummaries, feature: str) -> list[FeatureSummary]:
    return [item for item in found.items if item.feature == feature]


async def test_merged_windows_are_what_numpy_counts_of_all_values(store: ClickHouseStore) -> None:
    values = np.random.default_rng(1).normal(size=(40, 3)) * [1.0, 1e9, 1e-9]
    await consumed(store, batch(0, values[:20]), batch(1, values[20:]))

    found = await asked(reader_at(store, NOW_MS))

    columns = [of(found, f"input.x[{column}]") for column in range(3)]
    for column, windows in enumerate(columns):
        assert [window.start_ms for window in windows] == [BEGIN_MS, BEGIN_MS + WINDOW_MS]
        for place, window in enumerate(windows):
            expected = values[[at for at in range(40) if at % 20 % 4 // 2 == place], column]
            bins, counts = np.unique(bin_of(expected), return_counts=True)
            assert (window.bins, window.counts) == (bins.tolist(), counts.tolist())
            assert (window.values, window.minimum, window.maximum) == (20, expected.min(), expected.max())
            assert window.sum == pytest.approx(expected.sum())
            assert window.sum_of_squares == pytest.approx((expected**2).sum())
    assert found.watermark.watermark_ms == NOW_MS - 1


async def test_a_batch_that_is_consumed_again_has_one_effect(store: ClickHouseStore, reader: Reader) -> None:
    rows = batch(0, np.ones((8, 1)))
    await consumed(store, rows, rows)
    once = await asked(reader)
    await store.command("OPTIMIZE TABLE feature_summaries FINAL")

    again = await asked(reader)

    assert [item.values for item in of(again, "input.x")] == [4, 4]
    assert again.items == once.items


async def test_categories_are_merged_and_bounded_as_if_counted_at_once(store: ClickHouseStore, reader: Reader) -> None:
    labels = [f"label {number}" for number in range(400)]

    def rows(number: int, chosen: list[str]) -> list[dict[str, Any]]:
        made = [observation_row(at, started_at_ms=BEGIN_MS, prediction="") for at in range(len(chosen))]
        changed = [{"batch": number, "inputs": "", "outputs": text(label)} for label in chosen]
        return [row | change for row, change in zip(made, changed, strict=True)]

    await consumed(store, rows(0, labels[:300]), rows(1, labels[100:]), rows(2, labels))
    apart = of(await asked(reader), "output.label")
    await store.command("TRUNCATE TABLE feature_summaries")
    await consumed(store, rows(3, [*labels[:300], *labels[100:], *labels]))

    together = of(await asked(reader), "output.label")

    assert apart == together
    assert (len(together[0].categories), together[0].values) == (256, 1000)
    assert sum(together[0].categories.values()) + together[0].other == 1000


async def test_windows_are_of_one_deployment_and_of_named_features_if_asked(
    store: ClickHouseStore, reader: Reader
) -> None:
    await consumed(store, batch(0, np.ones((4, 1))), batch(1, np.zeros((4, 1)), deployment_id="green"))

    found = await asked(reader, deployment_id="green", features=("input.x", "status"))

    assert {item.deployment_id for item in found.items} == {"green"}
    assert {item.feature for item in found.items} == {"input.x", "status"}
    assert [item.categories for item in of(found, "status")] == [{"200": 2}, {"200": 2}]
    assert [item.sum for item in of(found, "status")] == [None, None]


async def test_another_workspace_sees_nothing(store: ClickHouseStore, reader: Reader) -> None:
    await consumed(store, batch(0, np.ones((4, 1))))

    assert (await asked(reader, workspace="another")).items == []


async def test_texts_are_deleted_when_the_capture_policy_says_and_numbers_are_not(
    store: ClickHouseStore, reader: Reader
) -> None:
    two_days_ms = 2 * 24 * 60 * MINUTE_MS
    rows = batch(0, np.ones((4, 1)), retention_days=1)
    old = [row | {"captured_at_ms": row["captured_at_ms"] - two_days_ms} for row in rows]
    await consumed(store, old)
    await store.command("OPTIMIZE TABLE feature_summaries FINAL")

    found = await asked(reader, from_ms=BEGIN_MS - two_days_ms, to_ms=BEGIN_MS - two_days_ms + WINDOW_MS)

    (label,), (number,), (status,) = (of(found, name) for name in ("output.label", "input.x", "status"))
    assert (label.values, label.categories, label.other) == (2, {}, 2)
    assert (number.counts, status.categories) == ([2], {"200": 2})


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"window_ms": 90_000}, "window_ms"),
        ({"window_ms": 0}, "window_ms"),
        ({"window_ms": 25 * 60 * MINUTE_MS}, "window_ms"),
        ({"window_ms": MINUTE_MS, "to_ms": BEGIN_MS + 2_001 * MINUTE_MS}, "window_ms"),
        ({"from_ms": -1}, "from_ms"),
        ({"to_ms": 2**62}, "to_ms"),
        ({"to_ms": BEGIN_MS}, "to_ms"),
    ],
)
async def test_what_cannot_be_answered_names_its_field(reader: Reader, changes: dict[str, int], field: str) -> None:
    with pytest.raises(BadQuery) as refused:
        await asked(reader, **changes)

    assert (refused.value.field, bool(refused.value.remedy)) == (field, True)


async def test_an_answer_that_is_too_large_is_refused(store: ClickHouseStore, reader: Reader) -> None:
    many = {f"tensor {number}": {"datatype": "FP64", "shape": [1], "data": [1.0]} for number in range(500)}
    minutes = [BEGIN_MS + number * MINUTE_MS for number in range(21)]
    changes = {"inputs": json.dumps(many)}
    rows = [observation_row(at, started_at_ms=ms, prediction="", **changes) for at, ms in enumerate(minutes)]
    await consumed(store, rows)

    with pytest.raises(BadQuery) as refused:
        await asked(reader, window_ms=MINUTE_MS, to_ms=BEGIN_MS + 21 * MINUTE_MS)

    assert (refused.value.field, f"{MAX_ITEMS} summaries" in refused.value.detail) == ("features", True)


async def test_an_answer_with_too_many_bins_is_refused(store: ClickHouseStore, reader: Reader) -> None:
    each_in_its_own_bin, _ = edges_of(np.arange(1_040_000, 1_048_000))
    values = np.repeat(each_in_its_own_bin[:, None], 64, axis=1)
    changes = {"inputs": numbers(values), "outputs": ""}
    await consumed(store, [observation_row(0, started_at_ms=BEGIN_MS, prediction="") | changes])

    with pytest.raises(BadQuery) as refused:
        await asked(reader)
    (alone,) = (await asked(reader, features=("input.x[63]",))).items

    assert (refused.value.field, f"{MAX_ENTRIES} bins" in refused.value.detail) == ("features", True)
    assert len(alone.bins) == len(alone.counts) == 8_000
