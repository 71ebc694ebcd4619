"""Test doubles that several packages share."""


class FakeClock:
    """A clock that moves only when a test moves it."""

    def __init__(self, *, now_ms: int = 1_700_000_000_000) -> None:
        self._now_ms = now_ms
        self._monotonic = 1_000.0

    def now_ms(self) -> int:
        return self._now_ms

    def monotonic(self) -> float:
        return self._monotonic

    def is_set(self, *, forward_s: float) -> None:
        """Let somebody set the machine's clock, which is no time that passes."""
        self._now_ms += round(forward_s * 1_000)

    def advance(self, *, seconds: float) -> None:
        self._now_ms += round(seconds * 1_000)
        self._monotonic += seconds
