"""Numbers of captured tensors: which feature they belong to, and what is counted apart."""

import json
import math
from typing import Any

import numpy as np
import pytest

from infra.value_bins import bin_of
from projections.feature_summaries.choice import MAX_FEATURES
from tests.support.summarised import AT_MS, requests, summaries, summarised, tensor

COUNTS = ("values", "missing", "infinite", "unreadable", "cut")


def counts(row: dict[str, Any]) -> dict[str, int]:
    return {name: row[name] for name in COUNTS if row[name]}


def bins(*values: float) -> dict[int, int]:
    keys, times = np.unique(bin_of(np.array(values)), return_counts=True)
    return dict(zip(keys.tolist(), times.tolist(), strict=True))


def test_a_number_is_counted_in_its_bin_and_added_up() -> None:
    found = summarised({"age": tensor([2.0])}, {"age": tensor([3.0])}, {"age": tensor([3], datatype="INT64")})

    row = found["age"]
    assert (row["kind"], counts(row), row["bins"]) == ("number", {"values": 3}, bins(2.0, 3.0, 3.0))
    assert [row[name] for name in ("sum_of_values", "sum_of_squares", "minimum", "maximum")] == [8.0, 22.0, 2.0, 3.0]


@pytest.mark.parametrize(
    "data", [[1.0, 2.0, 3.0, 4.0], [[1.0, 2.0], [3.0, 4.0]], [[[1.0], [2.0]], [[3.0], [4.0]]], [1.0, [2.0], [3.0, 4.0]]]
)
def test_each_column_is_a_feature_however_the_rows_are_nested(data: list[Any]) -> None:
    found = summarised({"x": tensor(data, (2, 2))})

    assert {name: row["bins"] for name, row in found.items()} == {"x[0]": bins(1.0, 3.0), "x[1]": bins(2.0, 4.0)}


def test_a_tensor_of_one_column_is_one_feature_whatever_its_shape() -> None:
    found = summarised({"x": tensor([1.0, 2.0], (2,))}, {"x": tensor([[3.0]], (1, 1))}, {"x": tensor([4.0], ())})

    assert {name: row["values"] for name, row in found.items()} == {"x": 4}


def test_tensors_of_one_name_and_different_widths_share_their_columns() -> None:
    found = summarised({"x": tensor([1.0, 2.0], (1, 2))}, {"x": tensor([3.0, 4.0, 5.0], (1, 3))})

    assert {name: row["values"] for name, row in found.items()} == {"x[0]": 2, "x[1]": 2, "x[2]": 1}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("null", {"values": 1, "missing": 1}),
        ('"text"', {"values": 1, "unreadable": 1}),
        ("{}", {"values": 1, "unreadable": 1}),
        ("1" + "0" * 400, {"values": 1, "unreadable": 1}),
        ("true", {"values": 2}),
    ],
)
@pytest.mark.parametrize("is_nested", [True, False])
def test_a_value_that_is_no_number_spoils_no_other(value: str, expected: dict[str, int], *, is_nested: bool) -> None:
    data = f"[[1, {value}], [2, 3]]" if is_nested else f"[1, {value}, 2, 3]"
    document = f'{{"x": {{"datatype": "FP64", "shape": [2, 2], "data": {data}}}}}'

    found = summarised(document)

    assert {name: counts(row) for name, row in found.items()} == {"x[0]": {"values": 2}, "x[1]": expected}


@pytest.mark.parametrize(
    ("tensor_json", "expected"),
    [
        (tensor([1.0, 2.0, 3.0], (2, 2)), {"x": {"unreadable": 2}}),
        (
            tensor([[1.0], [2.0, 3.0]], (2, 2)),
            {"x[0]": {"values": 1, "unreadable": 1}, "x[1]": {"values": 1, "unreadable": 1}},
        ),
        (tensor("text"), {"x": {"unreadable": 1}}),
        (tensor({"a": 1}), {"x": {"unreadable": 1}}),
        (tensor([1.0], (-1,)), {"x": {"unreadable": 1}}),
        (tensor([1.0], (10**30, 1)), {"x": {"unreadable": 2**31}}),
        ({"shape": ["a"], "data": [1.0], "datatype": "FP64"}, {"x": {"unreadable": 1}}),
        ({"shape": [1], "data": [1.0], "datatype": 7}, {"x": {"unreadable": 1}}),
        ([1.0], {"x": {"unreadable": 1}}),
        (tensor([], (0, 3)), {}),
    ],
)
def test_a_tensor_that_cannot_be_read_spoils_no_other(
    tensor_json: dict[str, Any], expected: dict[str, dict[str, int]]
) -> None:
    found = summarised({"x": tensor_json, "good": tensor([1.0])})

    by_name = {name: counts(row) for name, row in found.items()}
    assert by_name.pop("good") == {"values": 1}
    assert {name: counted for name, counted in by_name.items() if counted} == expected


def test_of_a_truncated_tensor_whole_rows_are_values_and_the_others_are_cut() -> None:
    truncated = tensor([1.0, 2.0, 3.0, 4.0, 5.0], (4, 2), truncated=True)

    found = summarised({"x": truncated, "huge": tensor([1.0], (10**30, 10**30), truncated=True)})

    assert {name: counts(row) for name, row in found.items() if name.startswith("x")} == {
        "x[0]": {"values": 2, "cut": 2},
        "x[1]": {"values": 2, "cut": 2},
    }
    assert counts(found["huge"]) == {"cut": 2**31}


def test_columns_that_a_shape_only_claims_are_no_features() -> None:
    claimed = {f"x{number}": tensor([], (1, 64)) for number in range(3)}

    found = summarised(claimed)

    assert {name: row["unreadable"] for name, row in found.items()} == dict.fromkeys(claimed, 1)


def test_a_hashed_tensor_is_no_feature() -> None:
    assert summarised({"x": {"datatype": "BYTES", "shape": [1], "blake2b": "00"}}) == {}


@pytest.mark.parametrize("document", ["[]", "[3]", "{", "7", "[" * 5_000, '{"x": "\\ud800"}', '{"x": NaN}'])
def test_a_document_that_is_no_tensors_is_counted_with_the_requests(document: str) -> None:
    (status,) = summaries(requests(document))

    assert (status["feature"], status["unreadable"], status["categories"]) == ("status", 1, {"200": 1})


def test_a_deep_nesting_is_no_number() -> None:
    deep = "[" * 900 + "1" + "]" * 900
    found = summarised(f'{{"x": {{"datatype": "FP64", "shape": [1], "data": {deep}}}}}')

    assert counts(found["x"]) == {"values": 1}


def test_numbers_too_large_to_be_squared_do_no_harm() -> None:
    row = summarised({"x": tensor([1e300, -1e300], (2,))})["x"]

    assert (row["values"], row["sum_of_values"], row["sum_of_squares"]) == (2, 0.0, math.inf)


def test_only_answered_requests_are_summarised_and_all_are_counted() -> None:
    rows = [*requests({"x": tensor([1.0])}), *requests({"x": tensor([2.0])}, status=500)]

    found = {row["feature"]: row for row in summaries(rows)}

    assert found["input.x"]["bins"] == bins(1.0)
    assert (found["status"]["values"], found["status"]["categories"]) == (2, {"200": 1, "500": 1})


def test_deployments_versions_minutes_and_batches_are_apart() -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"deployment_id": "green"},
        {"version_id": "version-2"},
        {"captured_at_ms": AT_MS + 60_000},
        {"batch": 1},
        {"boot_id": "boot-2"},
        {"workspace": "another"},
        {"endpoint_id": "endpoint-2"},
    ]
    rows = [row | change for change in changes for row in requests({"x": tensor([1.0])})]

    found = [row for row in summaries(rows) if row["feature"] == "input.x"]

    assert [row["values"] for row in found] == [1] * len(changes)
    assert sorted({row["minute_ms"] for row in found}) == [AT_MS, AT_MS + 60_000]


def test_a_batch_has_the_same_rows_each_time() -> None:
    rows = requests({"x": tensor(list(map(float, range(100))), (1, 100)), "y": tensor(["a"], datatype="BYTES")})

    assert summaries(rows) == summaries(rows)


def test_of_too_many_features_the_same_are_stored_in_each_batch() -> None:
    many = {f"feature {number}": tensor([1.0]) for number in range(MAX_FEATURES + 88)}
    backwards = dict(reversed(many.items()))

    first, second = summaries(requests(many)), summaries(requests(backwards))

    assert {row["feature"] for row in first} == {row["feature"] for row in second}
    assert len(first) == MAX_FEATURES + 1
    assert {row["feature"]: row["cut"] for row in first}["status"] == 88


def test_a_batch_without_rows_has_none() -> None:
    assert summaries([]) == []


def test_tokens_that_are_known_are_features() -> None:
    rows = [*requests("", tokens_in=7, tokens_out=0, finish_reason="stop"), *requests("")]

    found = {row["feature"]: row for row in summaries(rows)}

    assert (found["tokens.in"]["bins"], found["tokens.out"]["bins"]) == (bins(7.0), bins(0.0))
    assert found["finish_reason"]["categories"] == {"stop": 1}


def test_what_is_a_number_for_some_and_a_text_for_others_is_two_features() -> None:
    found = summaries(requests({"x": tensor([1.0])}, {"x": tensor(["a"], datatype="BYTES")}))

    kinds = [(row["kind"], row["values"]) for row in found if row["feature"] == "input.x"]
    assert sorted(kinds) == [("category", 1), ("number", 1)]


def test_outputs_are_features_beside_inputs() -> None:
    (row,) = requests({"x": tensor([1.0])})

    found = summaries([row | {"outputs": json.dumps({"x": tensor([2.0])})}])

    assert [(each["feature"], each["bins"]) for each in found[:2]] == [("input.x", bins(1.0)), ("output.x", bins(2.0))]
