"""What the judge asks of the view of measurements, the counts that it is answered, and what it reports of them."""

from typing import Annotated, Literal, TypeAlias

import msgspec

from schemas.events.rollouts import Measurement, MissingSource

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


class MeasureEpochOf(MeasureEpoch, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which arms of which epoch of an endpoint, by its name or id; what has no name or threshold is not counted.

    The watermark does not wait for gateways and engines of `excused_regions`. What came from there is counted. An
    earlier API refuses members that it does not know, so those that have their default are not sent.
    """

    endpoint: str
    excused_regions: tuple[str, ...] = ()


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
    theirs. Infinite numbers count, and NaN counts as over and as under: it is never good.

    Of the language model's answers that were captured, `late` of the `streams` began and `slow_between` of the `paced`
    went on above the limits, `truncated` of the `answers` were cut off, and `long` of the `counted` have more tokens
    than the limit.
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


class SilentRegion(msgspec.Struct, frozen=True, kw_only=True):
    """A region of whose gateways nothing comes; records of after `since_ms` (Unix ms, their own clocks) are missing."""

    region: str
    since_ms: int


class Watermark(msgspec.Struct, frozen=True, kw_only=True):
    """Every row that ended at or before `watermark_ms` is in the view; None when no source was ever seen.

    That is but for regions that served the epoch in question and are silent for more than 15 minutes: they keep the
    view late, and rows of the others are counted on.

    `lag_ms` is how far that is behind now, or a source ahead of it, whichever is more: what a clock that is ahead has
    stamped is not counted until the others get there, and nobody can tell how far it is behind. `missing` says of the
    sources that are waited for, of which regions they are and since when. `silent_regions` are those that served the
    endpoint and have gone silent, excused or not.
    """

    watermark_ms: int | None
    freshness: Freshness
    lag_ms: int | None
    waiting_for: tuple[str, ...] = ()
    missing: tuple[MissingSource, ...] = ()
    silent_regions: tuple[SilentRegion, ...] = ()


class Measured(Watermark, frozen=True, kw_only=True):
    """The arms by deployment id, over every primary request that ended at or before the watermark.

    `gateways` are the `log_id`s of the gateways that are alive: whose records any endpoint would still wait for.
    """

    arms: dict[str, Arm]
    gateways: tuple[str, ...] = ()
