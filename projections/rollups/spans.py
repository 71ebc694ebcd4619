"""The spans of time that roll-ups are of: days have hours, hours have minutes."""

from typing import Literal, TypeAlias, get_args

Kind: TypeAlias = Literal["requests", "predictions"]
"""What is rolled up: requests by when they ended, predictions, with what became known of them, by when they began."""

KINDS: tuple[Kind, ...] = get_args(Kind)

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

PARTS = {HOUR_MS: MINUTE_MS, DAY_MS: HOUR_MS}
"""Which shorter spans a longer one is made of, shorter ones first."""


def floor(at_ms: int, span_ms: int) -> int:
    """Return the beginning of the span that a time (Unix ms) is in."""
    return at_ms // span_ms * span_ms
