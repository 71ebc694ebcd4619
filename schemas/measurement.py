"""What the judge asks of the view of measurements, the counts that it is answered, and what it reports of them."""

from typing import Annotated, Literal, TypeAlias

import msgspec

from schemas.events.rollouts import Measurement

Freshness: TypeAlias = Literal["fresh", "late", "no_data"]

MAX_ITEMS = 500


class MeasureEpoch(msgspec.Struct, frozen=True, kw_only=True):
    """Which arms of which epoch; what has no name or threshold is not counted."""

    epoch: int
    candidate: str
    baseline: str
    latency_threshold_ms: float | None = None
    feedback_name: str | None = None
    loss_name: str | None = None
    loss_threshold: float | None = None
    rating_name: str | None = None
    rating_threshold: float | None = None
    first_token_threshold_ms: float | None = None
    between_tokens_threshold_ms: float | None = None
    answer_tokens_threshold: int | None = None
    truncation: bool | None = None


class MeasureEpochOf(MeasureEpoch, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which arms of which epoch of an endpoint, by its name or id; what has no name or threshold is not counted."""

    endpoint: str


class MeasureEpochs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Epochs of any endpoints, at most 500."""

    items: Annotated[tuple[MeasureEpochOf, ...], msgspec.Meta(max_length=MAX_ITEMS)]


class MeasuredRollout(msgspec.Struct, frozen=True, kw_only=True):
    """A measurement, and the rollout that it is of."""

    rollout_id: str
    measurement: Measurement


class ReportMeasurements(msgspec.Struct, frozen=True, kw_only=True):
    """Measurements of any rollouts, at most 500."""

    items: Annotated[tuple[MeasuredRollout, ...], msgspec.Meta(max_length=MAX_ITEMS)]


class Arm(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of one deployment since the epoch began. Latencies are None without requests.

    `refused` are the requests that it answered with 4xx, which are no errors.

    `over` of the `scored` predictions have a reported loss above the threshold, `under` of the `rated` a rating below
    theirs. Of the language model's answers that were captured, `late` of the `streams` began and `slow_between` of the
    `paced` went on above the limits, `truncated` of the `answers` were cut off, and `long` of the `counted` have more
    tokens than the limit.
    """

    requests: int = 0
    errors: int = 0
    refused: int = 0
    slow: int = 0
    labelled: int = 0
    wrong: int = 0
    scored: int = 0
    over: int = 0
    rated: int = 0
    under: int = 0
    streams: int = 0
    late: int = 0
    paced: int = 0
    slow_between: int = 0
    answers: int = 0
    truncated: int = 0
    counted: int = 0
    long: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """The arms by deployment id, over every primary request that ended at or before the watermark."""

    freshness: Freshness
    watermark_ms: int | None
    lag_ms: int | None
    waiting_for: tuple[str, ...]
    arms: dict[str, Arm]
