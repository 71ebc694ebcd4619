"""What counts as feedback, and how its values are written."""

from typing import Any

import msgspec
import pytest

from control_plane.errors import RollbookError
from control_plane.feedback.bodies import FeedbackBatch, InvalidFeedbackError, feedback_of
from control_plane.web.bodies import InvalidBodyError, decode_body
from schemas.observations import Feedback
from tests.support.spec import BEGAN_MS

PREDICTION = "1700000000000-01234567-89ab-4cde-8f01-23456789abcd"
ITEM: dict[str, Any] = {"prediction_id": PREDICTION, "name": "label", "value": 7}


def read(*items: dict[str, Any]) -> list[Feedback]:
    batch = decode_body(msgspec.json.encode({"items": items}), FeedbackBatch)
    return feedback_of(batch, workspace="default", now_ms=BEGAN_MS)


def test_an_item_becomes_a_fact_of_its_workspace() -> None:
    (feedback,) = read(ITEM | {"observed_at": "2023-11-14T22:13:20.5Z", "source": "review"})

    assert feedback == Feedback(
        workspace="default",
        prediction_id=PREDICTION,
        source="review",
        name="label",
        value="7",
        observed_at_ms=1_700_000_000_500,
        received_at_ms=BEGAN_MS,
    )


def test_without_a_time_and_a_source_it_is_now_and_the_api() -> None:
    (feedback,) = read(ITEM)

    assert (feedback.observed_at_ms, feedback.source) == (BEGAN_MS, "api")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (7, "7"),
        (-(2**63), str(-(2**63))),
        (2**64 - 1, str(2**64 - 1)),
        (7.0, "7.0"),
        (0.25, "0.25"),
        (1e-7, "1e-07"),
        (True, "true"),
        (False, "false"),
        ("cat", "cat"),
        ("7", "7"),
        ("", ""),
    ],
)
def test_a_value_is_kept_as_text_the_way_engines_write_theirs(value: object, text: str) -> None:
    assert read(ITEM | {"value": value})[0].value == text


@pytest.mark.parametrize(
    ("wrong", "error", "field"),
    [
        ({"prediction_id": "abc"}, InvalidFeedbackError, "items[3].prediction_id"),
        ({"prediction_id": PREDICTION + "0"}, InvalidFeedbackError, "items[3].prediction_id"),
        ({"prediction_id": 7}, InvalidBodyError, "items[3].prediction_id"),
        ({"prediction_id": "x" * 101}, InvalidBodyError, "items[3].prediction_id"),
        ({"name": ""}, InvalidBodyError, "items[3].name"),
        ({"name": "a b"}, InvalidBodyError, "items[3].name"),
        ({"name": "label\n"}, InvalidBodyError, "items[3].name"),
        ({"source": "api\n"}, InvalidBodyError, "items[3].source"),
        ({"source": "x" * 65}, InvalidBodyError, "items[3].source"),
        ({"value": None}, InvalidBodyError, "items[3].value"),
        ({"value": [7]}, InvalidBodyError, "items[3].value"),
        ({"value": "x" * 1_025}, InvalidBodyError, "items[3].value"),
        ({"value": 2**64}, InvalidFeedbackError, "items[3].value"),
        ({"value": -(2**63) - 1}, InvalidFeedbackError, "items[3].value"),
        ({"observed_at": "yesterday"}, InvalidBodyError, "items[3].observed_at"),
        ({"observed_at": "2023-11-14T22:13:20"}, InvalidFeedbackError, "items[3].observed_at"),
        ({"observed_at": "2024-11-14T22:13:20Z"}, InvalidFeedbackError, "items[3].observed_at"),
        ({"observed_at": "1969-11-14T22:13:20Z"}, InvalidFeedbackError, "items[3].observed_at"),
        ({"weight": 3}, InvalidBodyError, "items[3].weight"),
    ],
)
def test_one_wrong_item_refuses_the_batch_by_its_index(
    wrong: dict[str, Any], error: type[RollbookError], field: str
) -> None:
    with pytest.raises(error) as caught:
        read(ITEM, ITEM, ITEM, ITEM | wrong, ITEM)

    assert caught.value.field == field
    assert caught.value.remedy


def test_an_item_without_a_value_is_refused() -> None:
    with pytest.raises(InvalidBodyError) as caught:
        read({"prediction_id": PREDICTION, "name": "label"})

    assert caught.value.field == "items[0].value"


@pytest.mark.parametrize("count", [0, 1_001])
def test_a_batch_has_one_to_a_thousand_items(count: int) -> None:
    with pytest.raises(InvalidBodyError) as caught:
        read(*[ITEM] * count)

    assert caught.value.field == "items"
