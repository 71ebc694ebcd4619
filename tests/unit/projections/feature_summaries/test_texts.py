"""Texts and truth values, and the names of tensors."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.feature_summaries.categories import MAX_CATEGORIES, kept
from projections.feature_summaries.names import MAX_NAME, of_tensor
from tests.support.summarised import requests, summaries, summarised, tensor


def texts(*data: object, shape: tuple[int, ...] = (1,), datatype: str = "BYTES") -> dict[str, Any]:
    return {"t": tensor(list(data), shape, datatype)}


def test_texts_are_categories_and_have_a_length_and_words() -> None:
    found = summarised(texts("red"), texts("light  blue"), texts("red"))

    assert (found["t"]["kind"], found["t"]["categories"]) == ("category", {"light  blue": 1, "red": 2})
    assert (found["t~length"]["sum_of_values"], found["t~words"]["sum_of_values"]) == (17.0, 4.0)


def test_a_long_text_is_no_category() -> None:
    found = summarised(texts("x" * 65), texts("x" * 64))

    row = found["t"]
    assert (row["values"], row["categories"]) == (2, {"x" * 64: 1})
    assert found["t~length"]["maximum"] == 65.0


def test_each_column_of_texts_is_a_feature_and_many_columns_are_one() -> None:
    few = summarised(texts("a", "b", "c", "b", shape=(2, 2)))
    many = summarised(texts(*["a"] * 65, *["b"] * 65, shape=(2, 65)))

    assert [few[name]["categories"] for name in ("t[0]", "t[1]")] == [{"a": 1, "c": 1}, {"b": 2}]
    assert many["t"]["categories"] == {"a": 65, "b": 65}


@pytest.mark.parametrize(
    ("datatype", "data", "categories", "missing", "unreadable"),
    [
        ("BYTES", ["a", None, 1, "a", {}], {"a": 2}, 1, 2),
        ("BOOL", [True, 1, 0, None, 2], {"true": 2, "false": 1}, 1, 1),
        ("BOOL", [False, "true", 1.0, None, None], {"false": 1}, 2, 2),
        ("", [None, "a", "b", True, 1], {"a": 1, "b": 1}, 1, 2),
        ("ODD", [None, True, False, "a", 3], {"true": 1, "false": 1}, 1, 2),
    ],
)
def test_what_is_no_value_of_its_type_spoils_no_other(
    datatype: str, data: list[Any], categories: dict[str, int], missing: int, unreadable: int
) -> None:
    row = summarised(texts(*data, shape=(5,), datatype=datatype))["t"]

    assert (row["categories"], row["missing"], row["unreadable"]) == (categories, missing, unreadable)
    assert row["values"] == sum(categories.values())


def test_the_text_of_a_language_model_that_was_cut_is_no_value() -> None:
    found = summarised({"prompt": tensor(["Once upon"], datatype="BYTES", truncated=True)})

    assert (found["prompt"]["values"], found["prompt"]["cut"]) == (0, 1)


def test_of_many_categories_some_are_kept_and_all_are_counted() -> None:
    row = summarised(texts(*map(str, range(1_000)), shape=(1_000,)))["t"]

    assert (len(row["categories"]), row["values"]) == (MAX_CATEGORIES, 1_000)


def test_texts_are_kept_as_long_as_the_capture_policy_says() -> None:
    rows = [*requests(texts("a"), retention_days=30), *requests(texts("b"), retention_days=2, finish_reason="stop")]

    found = {row["feature"]: row["category_days"] for row in summaries(rows)}

    assert (found["input.t"], found["finish_reason"], found["status"]) == (2, 3_650, 3_650)


WORDS = st.lists(st.integers(0, 900).map(str), max_size=600).map(Counter)


@given(WORDS, WORDS)
def test_parts_merge_to_the_categories_of_the_whole(first: Counter[str], second: Counter[str]) -> None:
    merged = Counter(kept(first)) + Counter(kept(second))

    assert kept(merged) == kept(first + second)


@pytest.mark.parametrize(
    ("tensor_name", "expected"),
    [
        ("age", "input.age"),
        ("größe.cm", "input.größe.cm"),
        ("x[3]", "input.x%5B3%5D"),
        ("x~norm", "input.x%7Enorm"),
        ("100%", "input.100%25"),
        ("a\x00\n\x1b[31m", "input.a%00%0A%1B%5B31m"),
        ("", "input."),
    ],
)
def test_no_name_of_a_tensor_is_taken_for_one_of_ours(tensor_name: str, expected: str) -> None:
    assert of_tensor("input", tensor_name) == expected
    assert expected.removeprefix("input.") in summarised({tensor_name: tensor([1.0])})


def test_long_names_stay_short_and_apart() -> None:
    first, second = of_tensor("input", "x" * 5_000), of_tensor("input", "x" * 5_001)

    assert first != second
    assert len(first) <= MAX_NAME + len("input.~")
