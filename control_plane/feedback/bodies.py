"""What callers send as feedback, and how it reaches the read side."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec

from control_plane.errors import Invalid
from schemas.identifiers import prediction_started_at_ms
from schemas.observations import MAX_WORD, WORD, Feedback

MAX_ITEMS = 1_000
_FARTHEST_FUTURE = timedelta(days=1)
# Of INT64 and UINT64 together.
_MIN_INTEGER, _MAX_INTEGER = -(2**63), 2**64 - 1

Word = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_WORD, pattern=WORD)]
Text = Annotated[str, msgspec.Meta(max_length=1_024)]


class InvalidFeedbackError(Invalid):
    """An item does not name its prediction, or has no valid time or value."""

    code = "invalid-feedback"


class FeedbackItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What became known of one prediction; the last one in the log of a (prediction, source, name) wins."""

    prediction_id: Annotated[str, msgspec.Meta(max_length=100)]
    source: Word = "api"
    name: Word
    value: bool | int | float | Text
    observed_at: datetime | None = None


class FeedbackBatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Up to 1,000 items; all are taken, or none."""

    items: Annotated[tuple[FeedbackItem, ...], msgspec.Meta(min_length=1, max_length=MAX_ITEMS)]


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """How many items are safe in the log of feedback."""

    accepted: int


def feedback_of(batch: FeedbackBatch, *, workspace: str, now_ms: int) -> list[Feedback]:
    """Return what is published of a batch.

    Raises:
        InvalidFeedbackError: the first item that is wrong, with its index in the field's path.
    """
    latest = datetime.fromtimestamp(now_ms / 1000, tz=UTC) + _FARTHEST_FUTURE
    return [
        Feedback(
            workspace=workspace,
            prediction_id=_prediction_id(item, index),
            source=item.source,
            name=item.name,
            value=_value(item, index),
            observed_at_ms=_observed_at_ms(item, index, latest=latest) if item.observed_at else now_ms,
            received_at_ms=now_ms,
        )
        for index, item in enumerate(batch.items)
    ]


def text_of(value: bool | float | str) -> str:  # noqa: FBT001  one of the values that feedback may have
    """Return a value as text the way an engine writes its predictions: `true`, `3`, `0.25`, `cat`."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _value(item: FeedbackItem, index: int) -> str:
    if isinstance(item.value, int) and not _MIN_INTEGER <= item.value <= _MAX_INTEGER:
        raise InvalidFeedbackError(
            f"no data type has integers of {len(str(abs(item.value)))} digits like this one",
            field=f"items[{index}].value",
            remedy=f"send a number from {_MIN_INTEGER} to {_MAX_INTEGER}, or the digits as text",
        )
    return text_of(item.value)


def _prediction_id(item: FeedbackItem, index: int) -> str:
    if prediction_started_at_ms(item.prediction_id) is None:
        raise InvalidFeedbackError(
            f"{item.prediction_id!r} is not a prediction id",
            field=f"items[{index}].prediction_id",
            remedy="send the value of the answer's x-prediction-id header unchanged",
        )
    return item.prediction_id


def _observed_at_ms(item: FeedbackItem, index: int, *, latest: datetime) -> int:
    observed_at = item.observed_at
    assert observed_at is not None
    if observed_at.tzinfo is None or not datetime(2000, 1, 1, tzinfo=UTC) <= observed_at <= latest:
        raise InvalidFeedbackError(
            f"{observed_at.isoformat()} is not a valid observation time",
            field=f"items[{index}].observed_at",
            remedy="send RFC 3339 with a zone, not in the future, such as 2026-01-02T03:04:05.678Z",
        )
    return round(observed_at.timestamp() * 1000)
