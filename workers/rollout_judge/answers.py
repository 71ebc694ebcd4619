"""The control plane's answers, as far as the judge reads them; other fields are ignored."""

from typing import Literal

import msgspec


class Arm(msgspec.Struct, frozen=True, kw_only=True):
    """The counts of one deployment in an epoch."""

    requests: int = 0
    errors: int = 0
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


class MeasurementAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """GET /v1/endpoints/{endpoint}/measurement. `lag_ms` is how far the watermark lags behind the reader's clock."""

    freshness: Literal["fresh", "late", "no_data"]
    watermark_ms: int | None
    lag_ms: int | None = None
    arms: dict[str, Arm]
